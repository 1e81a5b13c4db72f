"""The published sample and adapters with the shipped settings, for the tests of the sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmassist.datasets import build_adapter, build_dataset_config
from tests.mmassist.datasets.source_samples import load_settings


@pytest.fixture
def sample_root(sample_data: Path, tmp_path: Path) -> Path:
    """A DATA_ROOT_DIR whose datasets folder is the sample."""
    (tmp_path / "datasets").symlink_to(sample_data)
    return tmp_path


@pytest.fixture
def make_adapter() -> Callable[..., Any]:
    """``make_adapter(name, data_root, compat=False, **changes)`` with the shipped settings."""

    def make(name: str, data_root: Path, compat: bool = False, **changes: Any) -> Any:
        values = {**load_settings(name)["dataset"], **changes}
        return build_adapter(build_dataset_config(values, "dataset"), data_root, compat)

    return make
