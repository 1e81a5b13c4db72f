"""Fixtures for all tests, and the rule that nothing is skipped in continuous integration."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from slurm.private.cluster import Cluster

REPOSITORY = Path(__file__).resolve().parents[1]
TESTS = REPOSITORY / "tests"
FAST = {str(TESTS / "mmassist"), str(TESTS / "docs")}  # `make test-fast` runs these, but for files marked as long
IS_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

settings.register_profile("untimed", deadline=None)  # how long an example takes says something of the machine alone
settings.load_profile("untimed")
os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub: no test may reach for the network


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder with excerpts of the real data sets, in the publishers' layouts; read only."""
    folder = Path(os.environ.get("MMASSIST_SAMPLE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no sample data at {folder} (MMASSIST_SAMPLE_DATA names another folder)")
    return folder


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small DATA_ROOT_DIR with HoloAssist and WTaG, shared by all tests: run commands on a copy or link of it."""
    from tools.demo.sample import SMALL, make_sample

    root = tmp_path_factory.mktemp("demo")
    make_sample(root, SMALL)
    return root


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The interpreter of an environment that has vLLM (MMASSIST_VLLM_PYTHON, or what `make setup-vllm` made)."""
    python = Path(os.environ.get("MMASSIST_VLLM_PYTHON", REPOSITORY / ".venv-vllm" / "bin" / "python"))
    if not python.exists():
        pytest.skip(f"no vLLM: there is no {python}; `make setup-vllm` makes it")
    done = subprocess.run([python, "-c", "import vllm"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no vLLM: {python} cannot import it: {done.stderr.strip().splitlines()[-1:]}")
    return python


@pytest.fixture(scope="session")
def private_slurm() -> Iterator[Cluster]:
    """A SLURM of our own with four nodes of eight GPUs in name only; SLURM_CONF names it as long as tests run."""
    from slurm.private.cluster import Cluster
    from slurm.private.daemon import DaemonError
    from slurm.private.options import Options

    cluster = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")), Options(nodes=4, gpus_per_node=8, accounting="yes"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            try:
                cluster.up()
            except (ValueError, DaemonError) as error:
                pytest.skip(f"no private SLURM: {error}")
            for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
                patch.delenv(name)  # of a job that the tests themselves run in
            for name, value in cluster.environment().items():
                patch.setenv(name, value)
            yield cluster
    finally:
        cluster.down(purge=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the fast files first; then the end-to-end ones, few and long, so that workers end at about the same time."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    folders = {str(folder) for folder in item.path.parents}
    if folders & FAST and item.get_closest_marker("long") is None:
        return 0
    return 1 if str(TESTS / "e2e") in folders else 2


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Turn a skipped test into a failure where continuous integration runs."""
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """Turn a skipped test file into a failure likewise."""
    return _refuse_skip((yield))


def _refuse_skip(report: Any) -> Any:
    if IS_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which counts as a failure with CI set: {reason}"
    return report
