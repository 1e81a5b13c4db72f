"""Which versions of what are installed: kept with what was made, and checked before more is made."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import mmassist

LIBRARIES = (
    "av",
    "numpy",
    "open_clip_torch",
    "pillow",
    "safetensors",
    "simplejpeg",
    "submitit",
    "timm",
    "tokenizers",
    "torch",
    "transformers",
    "webdataset",
)


def installed_versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that are installed."""
    versions = {"mmassist": mmassist.__version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def changed_versions(before: Mapping[str, str]) -> list[str]:
    """What differs between ``before`` and what is installed now, one phrase each."""
    now = installed_versions()
    names = sorted(before.keys() | now.keys())
    return [
        f"{name} was {before.get(name, 'absent')}, is {now.get(name, 'absent')}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def code_commit() -> str:
    """The commit of the code, ``-dirty`` when files were changed since; empty outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        words = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
