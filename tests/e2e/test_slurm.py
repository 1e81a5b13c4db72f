"""The whole pipeline on a real SLURM of virtual nodes: submitted at once, finished without anybody watching."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from mmassist.io.layout import Layout
from tests.e2e.commands import ALL_STAGES, SMALL_TASKS, contents, fresh_copy, run, words_of


@pytest.fixture(scope="module")
def cluster(sample_data):
    """A private SLURM, or a skip where its starter is missing."""
    up, down = (sample_data.parent / "tools" / f"slurm-{word}" for word in ("up", "down"))
    if not up.exists():
        pytest.skip(f"no {up} to start a private SLURM with")
    folder = tempfile.mkdtemp(prefix="slurm-")  # short: it holds sockets
    Path(folder).rmdir()  # the starter makes it
    words = [str(up), "--nodes", "4", "--gpus-per-node", "8", "--dir", folder]
    started = subprocess.run(words, capture_output=True, text=True, check=False)
    if started.returncode:
        pytest.skip(f"the private SLURM does not start: {started.stderr.strip().splitlines()[-1:]}")
    name, _, value = started.stdout.strip().removeprefix("export ").partition("=")
    before = os.environ.get(name)
    os.environ[name] = value.strip("'\";")
    yield
    subprocess.run([str(down), "--dir", folder, "--purge"], check=False, capture_output=True)
    if before is None:
        del os.environ[name]
    else:
        os.environ[name] = before


def wait_for(job_ids: list[str], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        words = ["squeue", "-h", "-o", "%i %T", "-j", ",".join(job_ids)]
        if not subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip():
            return
        time.sleep(1)
    raise AssertionError(f"jobs {job_ids} are not over after {seconds} s")


def receipt_of(root: Path) -> dict:
    return json.loads((sorted((root / "runs").iterdir())[-1] / "receipt.json").read_text())


def test_all_stages_in_order_give_the_same_bytes(cluster, sources, finished, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    words = words_of(ALL_STAGES, "dataset=wtag", "cluster=demo", *SMALL_TASKS, launcher="slurm")
    text = run(root, words)
    assert "submitted; run folder" in text
    receipt = receipt_of(root)
    ids = {row["job"].split("-")[0]: row["job_ids"] for row in receipt["jobs"]}
    after = {row["job"].split("-")[0]: row["after"] for row in receipt["jobs"]}
    assert after["encode"] == ids["extract"] and set(ids["split"]) <= set(after["pack"])
    assert "is in use by run" in run(root, words, 2)  # the submitted jobs hold the folders
    wait_for([i for many in ids.values() for i in many], 240)
    assert contents(root) == {p: sha for p, sha in contents(finished).items() if "/wtag/" in p}
    again = run(root, words)
    assert "all is done: nothing to do" in again


def test_what_the_cluster_refuses_is_one_line(cluster, sources, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    words = words_of("stage=extract", "dataset=wtag", "cluster=demo", "cluster.partition=nowhere", launcher="slurm")
    text = run(root, words, 2)
    last = text.strip().splitlines()[-1]  # sbatch's own words come before
    assert last.startswith("error: SLURM refused extract-wtag-frames: ") and "partition" in last
    assert not Layout(root).unit("wtag", "frames").lock.exists()
