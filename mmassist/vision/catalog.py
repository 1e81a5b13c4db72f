"""Which models open_clip and timm know, read from their installed files: planning must not import torch.

Where a library is not installed (a login node) nothing is known, and what is wrong is found by the worker.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_REGISTERED = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)


def _package_dir(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


@functools.cache
def open_clip_models() -> dict[str, Path]:
    """Name -> configuration file of every model that open_clip ships."""
    folder = _package_dir("open_clip")
    return {path.stem: path for path in sorted((folder / "model_configs").glob("*.json"))} if folder else {}


def open_clip_config(model: str) -> dict[str, Any]:
    """What open_clip's own file says of ``model``; empty where there is none."""
    path = open_clip_models().get(model)
    found: dict[str, Any] = json.loads(path.read_text()) if path else {}
    return found


@functools.cache
def _timm_sources() -> str:
    folder = _package_dir("timm")
    return "\n".join(path.read_text() for path in sorted((folder / "models").glob("*.py"))) if folder else ""


@functools.cache
def timm_models() -> frozenset[str]:
    """Names of every architecture that timm registers."""
    return frozenset(_REGISTERED.findall(_timm_sources()))


def timm_tags(model: str) -> list[str]:
    """Names of the published weights of an architecture (``lvd142m`` of ``vit_base_patch14_dinov2.lvd142m``)."""
    return sorted(set(re.findall(rf"[\"']{re.escape(model)}\.(\w+)\*?[\"']", _timm_sources())))


def near_names(name: str, choices: Iterable[str], listing: str) -> str:
    """`` Near names: a, b`` for the closest of ``choices``; where nothing is close, how to get the list."""
    lowered = {choice.lower(): choice for choice in choices}
    close = [lowered[found] for found in difflib.get_close_matches(name.lower(), lowered, n=4, cutoff=0.6)]
    return f" Near names: {', '.join(close)}." if close else f" {listing} lists the names."
