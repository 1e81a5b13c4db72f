"""The whole rehearsal on a few sources: interrupted it leaves nothing alive, and given again it passes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from slurm.private.packages import ACCOUNTING, BASE, missing_packages
from tests.e2e.cluster import wait_until
from tests.e2e.commands import REPOSITORY
from tools.rehearsal.blows import BLOWS
from tools.rehearsal.on_slurm import make_cluster


@pytest.mark.slow
def test_a_rehearsal_is_interrupted_and_passes_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing := missing_packages({**BASE, **ACCOUNTING}):
        pytest.skip(f"no private SLURM: {', '.join(missing)} missing")
    command = [sys.executable, "-m", "tools.rehearsal", "dataset=assembly101,sthsthv2", "setup=knowledge", "--keep"]
    command += ["--root", str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with tempfile.TemporaryDirectory(prefix="sl-") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)  # as the commands' TMPDIR sets it there
        options = {"cwd": REPOSITORY, "env": {**os.environ, "TMPDIR": short}}
        first = subprocess.Popen(command, start_new_session=True, **options, **pipes)
        wait_until(lambda: first.poll() is not None or list(tmp_path.glob("slurm/runs/*/lives/*/*.json")), 900)
        os.killpg(first.pid, signal.SIGINT)
        assert "stopped, and its cluster with it" in first.communicate(timeout=120)[0]
        assert first.returncode == 130
        cluster = make_cluster(tmp_path)
        assert cluster.processes() == [] and not cluster.place.root.exists()
        second = subprocess.run(command, check=False, **options, **pipes)
        assert second.returncode == 0, second.stdout
        lines = second.stdout.splitlines()
        assert lines[-1] == "rehearsal: passed: both halves made the same"
        for blow in BLOWS:  # once when it is made, once when something has come of it
            assert sum(line.startswith("rehearsal: ") and blow.what in line for line in lines) == 2, second.stdout
        assert cluster.processes() == [] and not cluster.place.root.exists()
