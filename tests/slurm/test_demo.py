"""The demonstration on a private SLURM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mmassist.io.layout import Layout
from slurm.private.cluster import Cluster
from slurm.private.options import default_folder
from slurm.private.packages import ACCOUNTING, BASE, missing_packages
from tools.demo.cluster import wait_until_over

REPOSITORY = Path(__file__).resolve().parents[2]


def submit(cluster: Cluster, *words: str) -> str:
    text = cluster.ask("sbatch", "--parsable", "--output=/dev/null", "--chdir=/", *words)
    assert text is not None
    return text.strip()


def test_every_element_is_waited_for(private_slurm: Cluster) -> None:
    array = submit(private_slurm, "--array=0-2", "--wrap", "exit $((SLURM_ARRAY_TASK_ID % 2))")
    after = submit(private_slurm, f"--dependency=afterany:{array}", "--wrap", "true")
    assert wait_until_over(private_slurm, [array, after]) == {
        f"{array}_0": "COMPLETED",
        f"{array}_1": "FAILED",
        f"{array}_2": "COMPLETED",
        after: "COMPLETED",
    }


def test_waiting_has_an_end(private_slurm: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    job = submit(private_slurm, "--hold", "--wrap", "true")
    try:
        assert wait_until_over(private_slurm, [job], limit_s=0) is None
        printed = capsys.readouterr().err
        assert printed == "error: the jobs are not over after 0 s: 0 of 1 array elements over, 1 pending\n"
    finally:
        private_slurm.ask("scancel", job)


@pytest.mark.slow
def test_the_demonstration_is_interrupted_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := missing_packages({**BASE, **ACCOUNTING}):
        pytest.skip(f"no private SLURM: {', '.join(missing)} missing")
    command = [sys.executable, "-m", "tools.demo", "--slurm", "--root", str(tmp_path), "--dataset", "wtag"]
    with tempfile.TemporaryDirectory(prefix="sl-") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)  # as the commands' TMPDIR sets it there
        cluster = Cluster(default_folder("demo"))
        environment = {**os.environ, "TMPDIR": short}
        options = {"cwd": REPOSITORY, "env": environment, "text": True}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        first = subprocess.Popen(command, start_new_session=True, **options, **pipes)
        frames = Layout(tmp_path).unit("wtag", "frames")
        while first.poll() is None and not list(frames.root.rglob("*.part")):
            time.sleep(0.1)
        os.killpg(first.pid, signal.SIGINT)
        assert "stopped; what is finished is kept" in first.communicate(timeout=300)[0]
        assert first.returncode == 130
        assert cluster.processes() == [] and not cluster.place.root.exists()
        second = subprocess.run([*command, "--keep"], check=False, **options, **pipes)
        try:
            assert second.returncode == 0, second.stdout
            assert "1270 of 1270 frames show exactly the picture of their time" in second.stdout
            assert cluster.processes()
            third = subprocess.run(command, check=False, **options, **pipes)
            assert third.returncode == 0 and "all is done: nothing to do" in third.stdout, third.stdout
            assert cluster.processes()  # it was running before
        finally:
            cluster.down(purge=True)
