"""Measure how long a submission takes, from the command to its receipt, on a private SLURM.

    python -m tools.bench.submission [--items 100000] [--stage extract]

Invents an annotation file of LLaVA's form with one picture per folder, so that every picture is an item, and submits
held jobs, which are cancelled again. Wall-clock and processor seconds of the whole command.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from slurm.private.cluster import Cluster
from slurm.private.options import Options
from tools.demo.llava import RAW_DIR

MOST = 100_000  # folders of the published form have five digits
REPEATS = 5


def write_annotations(root: Path, num_items: int) -> None:
    """Write ``num_items`` captioned pictures (no pictures themselves), each in a folder of its own."""
    folder = root / "datasets" / RAW_DIR
    (folder / "images").mkdir(parents=True)
    records = []
    for number in range(num_items):
        name = f"{number:05d}"
        turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": f"thing number {number}"}]
        records.append({"id": f"{name}0001", "image": f"{name}/{name}0001.jpg", "conversations": turns})
    (folder / "blip_laion_cc_sbu_558k.json").write_text(json.dumps(records))


def iter_report(folder: Path, num_items: int, stage: str) -> Iterator[str]:
    """Submit ``REPEATS`` times, each into a data root of its own; yield the lines of the report."""
    cluster = Cluster(folder / "slurm", Options(nodes=4, gpus_per_node=8))
    cluster.up()
    walls, cpus = [], []
    try:
        for repeat in range(REPEATS):
            root = folder / str(repeat)
            write_annotations(root, num_items)
            environment = {**os.environ, **cluster.environment(), "DATA_ROOT_DIR": str(root)}
            words = [f"stage={stage}", "dataset=llava", "models=tiny", "cluster=demo", "cluster.sbatch=[hold]"]
            command = [sys.executable, "-m", "launchers.run", *words]
            before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            walls.append(time.monotonic() - begin)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            cluster.ask("scancel", "--user", str(os.getuid()))
        yield done.stdout.splitlines()[0]
    finally:
        cluster.down(purge=True)
    middle = REPEATS // 2
    yield f"{stage} of {num_items} items: receipt after {sorted(walls)[middle]:.1f} s, {sorted(cpus)[middle]:.1f} s CPU"
    yield f"median of {REPEATS}; wall clock {min(walls):.1f} to {max(walls):.1f} s"


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.submission", description=__doc__)
    parser.add_argument("--items", type=int, default=MOST, help=f"number of items, at most {MOST}")
    parser.add_argument("--stage", default="extract", help="stage, or several with commas")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for line in iter_report(Path(folder), min(arguments.items, MOST), arguments.stage):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
