"""What judges say of the dialogs: how scores are distributed, how far judges agree, the worst and the best."""
