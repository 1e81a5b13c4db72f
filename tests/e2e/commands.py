"""Running the command as a user would, and looking at what it left on disk."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ALL_STAGES = "stage=extract,generate,judge,split,encode,pack"
# Where each stage writes with models=tiny and everything else as shipped.
FOLDERS = {
    "extract": "frames",
    "generate": "generated_dialogs/scripted",
    "judge": "scores/timing",
    "split": "splits",
    "encode": "features/tiny",
    "pack": "prepared/knowledge_L4096_I10",
}
REPOSITORY = Path(__file__).resolve().parents[2]


def words_of(*words: str, launcher: str = "basic") -> list[str]:
    return [*words, "models=tiny", f"hydra/launcher={launcher}"]


def start(root: Path, words: list[str], module: str = "launchers.run", *module_words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DATA_ROOT_DIR": str(root), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", module, *module_words, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, **pipes)


def run(root: Path, words: list[str], expect: int | None = 0, module: str = "launchers.run") -> str:
    """Run a command to its end, in this process, and return what it printed: no second interpreter need start."""
    entry = importlib.import_module(f"{module}.__main__" if module.startswith("tools.") else module)
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as text:
        patch.setenv("DATA_ROOT_DIR", str(root))
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            code = entry.main(words)
        assert expect is None or code == expect, text.getvalue()
        return text.getvalue()


def run_apart(root: Path, words: list[str], expect: int | None = 0, module: str = "launchers.run", *more: str) -> str:
    """Run a command to its end in a process of its own, for what would stay in ours or end it."""
    process = start(root, words, module, *more)
    text, _ = process.communicate(timeout=900)
    assert expect is None or process.returncode == expect, text
    return text


def kill_after(root: Path, words: list[str], seconds: float) -> bool:
    """Start a command and kill -9 it after ``seconds``; False when it was faster."""
    process = start(root, words)
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.01)
    killed = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return killed


def contents(root: Path) -> dict[str, str]:
    """Hashes of everything in ``shards/`` and ``index/`` below a data root."""
    found = {}
    for path in sorted((root / "processed_data").rglob("*")):
        is_output = path.parent.name in ("shards", "index") and not path.name.startswith(
            "."
        )  # temporary: see leftovers
        if is_output and path.is_file() and "retired" not in path.parts:
            found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def leftovers(root: Path) -> list[str]:
    """Temporary files, fragments and locks that a finished command must not leave."""
    names = (p for p in (root / "processed_data").rglob("*") if p.is_file())
    return [str(p) for p in names if p.name.endswith(".tmp") or p.suffix == ".part" or p.name == "lock"]


def fresh_copy(source: Path, target: Path) -> Path:
    """A data root with the same sources (linked) and a copy of the outputs so far."""
    target.mkdir(parents=True)
    (target / "datasets").symlink_to(source / "datasets")
    if (source / "processed_data").exists():
        shutil.copytree(source / "processed_data", target / "processed_data")
    return target


# Several tasks per stage even on a small sample, so that workers have something to share.
SMALL_TASKS = [f"{stage}.task_weight=40" for stage in ("extract", "generate", "judge", "split", "encode", "pack")]
