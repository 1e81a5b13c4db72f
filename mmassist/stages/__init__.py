"""One module per stage: the only place where the parts meet."""
