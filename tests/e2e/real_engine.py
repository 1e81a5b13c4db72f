"""A real vLLM on this machine's CPU, with a Llama of random weights: in a worker, and as a server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmassist.io.layout import Layout, UnitLayout
from mmassist.io.ledger import iter_rows
from mmassist.io.reader import UnitReader
from tests.e2e.commands import REPOSITORY

# Few and short: what is tested is the engine, not how long it can talk.
SMALL = (
    "generate.user_types='no_talk@1,talk_some@1'",
    "generate.num_repeats=2",
    "generate.max_turn_chars=100",
    "generate.max_turns=10",
    "generate.clip_max_units=12",
)


def engine_words(model: Path, python: Path, section: str = "llm") -> list[str]:
    """The settings of vLLM on a CPU."""
    values = {
        "model": model,
        "name": "random_llama",
        "python": python,
        "device": "cpu",
        "dtype": "bfloat16",
        "tensor_parallel": 1,
        "max_model_len": 16384,
        "max_num_seqs": 32,
        "cpu_cache_gb": 1,
        "enforce_eager": "true",
    }
    return [f"{section}=vllm", *(f"{section}.{key}={value}" for key, value in values.items())]


def make_model(python: Path, folder: Path) -> Path:
    """A Llama of 0.3 M parameters."""
    command = [python, "-m", "tools.bench.random_llama", folder]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return folder


def dialogs_unit(root: Path, dataset: str) -> UnitLayout:
    return Layout(root).unit(dataset, "generated_dialogs/random_llama")


def read_items(unit: UnitLayout, stage: str, member: str) -> dict[str, Any]:
    """What a folder holds of each item, parsed."""
    reader = UnitReader(unit, stage)
    return {key: json.loads(reader.read(key).read(member)) for key in reader.keys()}  # noqa: SIM118


def engine_reports(unit: UnitLayout) -> list[dict[str, Any]]:
    """What the language model did, one report for each committed task."""
    rows = [row for path in sorted(unit.commit_log_dir.glob("*.jsonl")) for row in iter_rows(path)]
    return [row["llm"] for row in rows]


def num_answers(unit: UnitLayout) -> int:
    """Answers that have been journaled for items in hand."""
    return sum(len(list(iter_rows(path))) for path in unit.journal_dir.rglob("*.answers.jsonl"))


def workers_of(root: Path) -> list[int]:
    """Live worker processes of runs below a data root."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            if "launchers.worker" in words and str(root) in words:
                found.append(int(path.parent.name))
    return found


def descendants_of(pid: int) -> list[int]:
    """Live processes that a process has started, and theirs: vLLM's rename themselves, so names tell nothing."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
            if state != "Z":
                parents.setdefault(int(parent), []).append(int(path.parent.name))
    found = list(parents.get(pid, []))
    for child in found:
        found += parents.get(child, [])
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def server(python: Path, model: Path) -> Iterator[str]:
    """Start vLLM's server; yields the address under which it will answer once it has loaded the model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--model", model, "--served-model-name", "random", "--host", "127.0.0.1", "--port", str(port)]
    words += ["--dtype", "bfloat16", "--max-model-len", "16384", "--max-num-seqs", "32", "--enforce-eager"]
    words += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "16384"]
    words += ["--structured-outputs-config", '{"backend":"guidance","disable_any_whitespace":true}']
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    command = [python, "-m", "vllm.entrypoints.openai.api_server", *map(str, words)]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/models", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def wait_until(what: Any, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "still waiting"
        time.sleep(0.05)
