"""No silent skips in continuous integration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[1]
SKIPPED_TEST = "import pytest\n\ndef test_skipped():\n    pytest.skip('no such thing here')\n"
SKIPPED_FILE = "import pytest\n\npytest.importorskip('no_such_package')\n\ndef test_nothing():\n    pass\n"
EXPECTED_FAILURE = "import pytest\n\n@pytest.mark.xfail(strict=True)\ndef test_fails():\n    assert False\n"


def run_pytest(folder: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", str(folder)]
    environment = {**os.environ, "CI": ci}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("source", [SKIPPED_TEST, SKIPPED_FILE])
def test_a_skip_fails_only_in_continuous_integration(tmp_path: Path, source: str) -> None:
    assert "skipped" in run_pytest(tmp_path, source, ci="").stdout
    done = run_pytest(tmp_path, source, ci="true")
    assert done.returncode != 0
    assert "counts as a failure with CI set" in done.stdout
    assert "no such" in done.stdout or "no_such" in done.stdout


def test_an_expected_failure_stays_one(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, EXPECTED_FAILURE, ci="true").returncode == 0
