"""A worker's share of a node: GPUs, cache folders, scratch, and how it is started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.child import PAGE_BYTES, child_environment, resident_bytes, scratch_folder, spawn_worker
from mmassist.core.errors import StageError
from mmassist.io.layout import RunLayout

UUIDS = [f"GPU-{i}6f2b3c1-0f0e-4d8a-9d3e-000000000000" for i in range(4)]
MIGS = [f"MIG-GPU-9a1c/{i}/0" for i in range(4)]


def shares(workers: int, gpus: int, scratch: Path) -> list[str]:
    return [child_environment(i, workers, gpus, scratch)["CUDA_VISIBLE_DEVICES"] for i in range(workers)]


@pytest.mark.parametrize(
    ("workers", "gpus", "expected"),
    [
        (8, 8, ["0", "1", "2", "3", "4", "5", "6", "7"]),
        (2, 8, ["0,1,2,3", "4,5,6,7"]),
        (1, 4, ["0,1,2,3"]),
        (16, 8, [str(i % 8) for i in range(16)]),
        (3, 1, ["0", "0", "0"]),
    ],
)
def test_workers_share_a_nodes_gpus_as_the_stage_says(tmp_path, monkeypatch, workers, gpus, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert shares(workers, gpus, tmp_path) == expected


@pytest.mark.parametrize("names", [UUIDS, MIGS, ["7", "3", "5", "1"]])
def test_gpus_keep_the_names_that_slurm_gave_them(tmp_path, monkeypatch, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(names))
    assert shares(4, 4, tmp_path) == names
    assert shares(2, 4, tmp_path) == [",".join(names[:2]), ",".join(names[2:])]


def test_a_stage_without_gpus_says_nothing_of_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert "CUDA_VISIBLE_DEVICES" not in child_environment(0, 2, 0, tmp_path)


@given(each=st.integers(1, 4), children=st.integers(1, 8), more=st.booleans())
def test_every_gpu_has_a_worker_and_none_more_than_its_share(tmp_path_factory, each, children, more):
    """Either each worker has ``each`` GPUs of its own, or each GPU is shared by ``each`` workers."""
    scratch = tmp_path_factory.mktemp("scratch")
    workers, gpus = (children, children * each) if more else (children * each, children)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", ",".join(f"GPU-{i}" for i in range(gpus)))
        given_out = [name for share in shares(workers, gpus, scratch) for name in share.split(",")]
    counts = {f"GPU-{i}": given_out.count(f"GPU-{i}") for i in range(gpus)}
    assert set(counts.values()) == {1 if more else each} and len(given_out) == sum(counts.values())


def test_no_two_workers_write_the_same_cache_or_temporary_folder(tmp_path):
    made = [child_environment(i, 4, 0, tmp_path) for i in range(4)]
    folders = [value for one in made for name, value in one.items() if name != "OMP_NUM_THREADS"]
    assert len(folders) == len(set(folders)) >= 4 * 5
    assert all(Path(folder).is_relative_to(tmp_path) for folder in folders)
    assert all(Path(one["TMPDIR"]).is_dir() for one in made)


def test_a_worker_keeps_to_its_cores_unless_the_site_says_otherwise(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert child_environment(0, 1, 0, tmp_path)["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert child_environment(0, 1, 0, tmp_path)["OMP_NUM_THREADS"] == "6"


def test_scratch_is_gone_afterwards_whatever_lies_in_it(tmp_path):
    with scratch_folder(str(tmp_path), "run-") as folder:
        assert folder.parent == tmp_path and folder.name.startswith("run-")
        (folder / "worker-0" / "tmp").mkdir(parents=True)
        (folder / "worker-0" / "tmp" / "left").write_text("behind")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError), scratch_folder(str(tmp_path), "run-") as folder:
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_scratch_may_be_named_by_a_variable_of_the_node(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path))
    (tmp_path / "fast").mkdir()
    with scratch_folder("$SLURM_TMPDIR/fast", "run-") as folder:
        assert folder.parent == tmp_path / "fast"


def test_scratch_is_the_nodes_temporary_folder_unless_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder(None, "run-") as folder:
        assert folder.parent == tmp_path


@pytest.mark.parametrize("value", ["/no/such/scratch", "$NO_SUCH_VARIABLE_HERE/scratch"])
def test_scratch_that_the_node_has_not_is_said_to(value):
    with pytest.raises(StageError) as caught, scratch_folder(value, "run-"):
        raise AssertionError("not reached")
    where = os.path.expandvars(value)
    assert str(caught.value).startswith(f"cluster.scratch_dir is {where!r} on ")
    assert str(caught.value).endswith("where no folder can be made: No such file or directory")


def test_a_worker_runs_the_snapshot_with_its_environment_and_a_group_of_its_own(tmp_path):
    run = RunLayout(tmp_path / "run")
    (run.code / "launchers").mkdir(parents=True)
    (run.code / "launchers" / "__init__.py").touch()
    report = "print(sys.argv[1:], os.environ['SHARE'], os.getpgid(0) == os.getpid()); print('noise', file=sys.stderr)"
    (run.code / "launchers" / "worker.py").write_text(f"import os, sys\n{report}\n")
    for _ in range(2):
        worker = spawn_worker(tmp_path, run, "encode-wtag", 3, 1, sys.executable, {"SHARE": "mine"})
        said, _ = worker.communicate()
        assert said.strip() == f"{[str(tmp_path), str(run.root), 'encode-wtag', '3', '1']} mine True"
    # A worker that replaces a dead one adds to what that one said.
    assert run.output("encode-wtag.00003.1").read_text() == "noise\nnoise\n"


def test_the_memory_of_a_process_that_is_gone_is_nothing():
    assert resident_bytes(os.getpid()) > 10 * PAGE_BYTES
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert resident_bytes(process.pid) == 0
