"""The half of the rehearsal on a private SLURM: submit, disturb, submit again what a killed element left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from launchers.ending import EXIT_OK
from mmassist.core.fingerprint import digest
from mmassist.io.layout import Layout
from slurm.private.cluster import Cluster
from slurm.private.options import Options, default_folder
from tools.demo.cluster import say, submit, wait_until_over
from tools.rehearsal.at_work import Scene
from tools.rehearsal.storm import Storm

# Small nodes: what runs at once has to fit a machine of two cores.
OPTIONS = Options(nodes=4, cpus_per_node=4, gpus_per_node=2)
SETTINGS = (
    "cluster=demo",
    "hydra/launcher=slurm",
    "cluster.max_running=2",  # few elements of several tasks each: an interrupted one has some done and some to do
    *(f"{stage}.{key}" for stage in ("extract", "encode") for key in ("num_workers=1", "cpus_per_task=2", "mem_gb=4")),
    "encode.gpus_per_node=1",
)
MAX_COMMANDS = 4  # the first, one for what a killed element left, one that finds nothing; one to spare


def make_cluster(root: Path) -> Cluster:
    """The cluster of the rehearsal in ``root``, not started. No other rehearsal has the same."""
    return Cluster(default_folder(f"rehearsal-{digest(str(root))[:8]}"), OPTIONS, say)


def run_on_slurm(cluster: Cluster, layout: Layout, words: Sequence[str], storm: Storm) -> tuple[int, list[str]]:
    """Run the command under the storm until all is done; returns its exit code and what went wrong."""
    storm.begin = time.monotonic()
    for _ in range(MAX_COMMANDS):
        code, receipt = submit(words, layout)
        ids = {job_id: row["job"] for row in receipt.get("jobs", ()) for job_id in row["job_ids"]}
        if code != EXIT_OK:
            return code, [f"the command on SLURM ended with exit code {code}"]
        if not ids:
            return code, []
        scene, num_struck = Scene(cluster, layout, receipt["run_id"]), len(storm.struck)
        states = wait_until_over(cluster, list(ids), pause=partial(storm.watch, scene))
        if states is None:
            return code, ["jobs on SLURM are not over"]
        storm.settle(scene)
        bad = [f"{ids[job.split('_')[0]]} ({job}) is {state}" for job, state in states.items() if state != "COMPLETED"]
        if bad and not any(one.blow.leaves_work for one in storm.struck[num_struck:]):
            return code, bad
        if bad:
            storm.say(f"{len(bad)} elements are not COMPLETED, as they must; the same command again, for what is left")
    return code, [f"after {MAX_COMMANDS} commands there is still something to do"]
