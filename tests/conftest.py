"""Fixtures for all tests, and the rule that nothing is skipped in continuous integration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
IS_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

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
