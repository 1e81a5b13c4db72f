"""One small data root with everything made, for the tests to look at and to copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.commands import ALL_STAGES, SMALL_TASKS, run, words_of


@pytest.fixture(scope="session")
def sources(demo_root) -> Path:
    """A data root with sources and no outputs."""
    return demo_root


@pytest.fixture(scope="session")
def finished(sources, tmp_path_factory) -> Path:
    """A data root after an undisturbed run of all six stages over both sources, in one process."""
    root = tmp_path_factory.mktemp("finished")
    (root / "datasets").symlink_to(sources / "datasets")
    run(root, words_of(ALL_STAGES, "dataset=holoassist,wtag", *SMALL_TASKS))
    return root
