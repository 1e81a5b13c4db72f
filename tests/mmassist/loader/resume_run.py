"""Train for some batches and be killed: ``python -m ... FOLDER STATE NUM_WORKERS NUM_BATCHES``.

Every batch's keys are printed and the state is saved, as a trainer does after a step; with NUM_BATCHES 0 it goes on to
the end of epoch 1.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from mmassist.loader import PreparedDataset, PreparedLoader


def main(folder: str, state: Path, num_workers: int, num_batches: int) -> None:
    dataset = PreparedDataset(folder, "train", seed=11, batch_size=3, window=2)
    loader = PreparedLoader(dataset, num_workers=num_workers)
    if state.exists():
        loader.load_state_dict(json.loads(state.read_text()))
    done = 0
    while loader.epoch < 2:
        for batch in loader:
            sys.stdout.write(json.dumps(batch["keys"]) + "\n")
            sys.stdout.flush()
            state.write_text(json.dumps(loader.state_dict()))
            done += 1
            if done == num_batches:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
