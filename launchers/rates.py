"""What a job is going to cost: from rates that earlier runs reached, else from the table in ``docs/rates.md``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from launchers.balance import predict_makespan, spread
from mmassist.core.stage import Task
from mmassist.io.layout import Layout
from mmassist.io.ledger import iter_rows

# So that planning stays quick however much lies in runs/.
MAX_RUNS = 50
MAX_LIVES = 200
MAX_COMMIT_LOGS = 200
ENOUGH_S = 36_000.0  # of workers' time; older runs add nothing then
LEAST_S = 60.0  # of workers' time; below, starting up is most of it


@dataclass(frozen=True)
class Rate:
    """``speed``: seconds of video that one worker does in a second; ``bytes_per_s``: output per second of video."""

    speed: float
    bytes_per_s: float
    source: str = "table"


@dataclass(frozen=True)
class Expectation:
    """What a job will take. A node-hour is an hour of one array element, whatever part of a node that is."""

    node_hours: float
    gpu_hours: float
    makespan_h: float  # without waiting in the queue
    num_bytes: float
    source: str  # of the rate


# Estimates, explained in docs/rates.md: (stage, name of the model or "" for any other) -> rate.
TABLE = {
    ("extract", ""): Rate(5.0, 70_000),
    ("generate", "llama31_70b"): Rate(5.0, 1_500),
    ("generate", "scripted"): Rate(500.0, 1_500),
    ("generate", ""): Rate(5.0, 1_500),
    ("judge", "llm"): Rate(40.0, 600),
    ("judge", ""): Rate(5_000.0, 100),
    ("split", ""): Rate(10_000.0, 50),
    ("encode", "siglip_so400m"): Rate(280.0, 65_000),
    ("encode", "tiny"): Rate(40.0, 3_700),
    ("encode", ""): Rate(280.0, 65_000),
    ("pack", ""): Rate(3_000.0, 3_500),
}


def default_rate(stage: str, unit: str) -> Rate | None:
    """The table's rate for an output folder, given below DATA_ROOT_DIR as in receipts; None for a stage not in it."""
    return TABLE.get((stage, PurePosixPath(unit).name)) or TABLE.get((stage, ""))


def load_rates(layout: Layout, stage: str, unit: str, launcher: str = "slurm", gpus: int | None = None) -> Rate | None:
    """What earlier runs reached for the same folder, else for the same one of other sources; None without any.

    ``unit`` is the output folder below DATA_ROOT_DIR as in receipts. Only runs of the same launcher count, and with
    ``gpus`` only elements that had GPUs, or had none, like the ones to come. Newest runs first, and few are read.
    Files that cannot be read do not count.
    """
    found = [
        (run_id, row)
        for run_id in _newest_runs(layout)
        for row in _job_rows(layout, run_id, launcher)
        if row.get("stage") == stage and _folder(row["unit"]) == _folder(unit)
    ]
    same = [(run_id, row) for run_id, row in found if row["unit"] == unit]
    others = [(run_id, row) for run_id, row in found if row["unit"] != unit]
    for rows, remark in ((same, ""), (others, ", other sources")):
        speed, used = _measure_speed(layout, rows, gpus)
        if speed:
            more = f" and {len(used) - 1} more" if len(used) > 1 else ""
            source = f"measured in {used[0][0]}{more}{remark}"
            guess = default_rate(stage, unit)
            num_bytes = _measure_bytes(layout, used) or (guess.bytes_per_s if guess else 0.0)
            return Rate(speed, num_bytes, source)
    return None


def expect(bundles: Sequence[Sequence[Task]], num_nodes: int, workers: int, gpus: int, rate: Rate) -> Expectation:
    """What elements will take, ``num_nodes`` at once, each with ``workers`` children and ``gpus`` GPUs.

    Start-up counts only as far as it is in a measured rate.
    """
    per_hour = rate.speed * 3600
    elements = [spread([task.weight for task in bundle], workers) for bundle in bundles]
    node_hours = sum(elements) / per_hour
    return Expectation(
        node_hours=node_hours,
        gpu_hours=node_hours * gpus,
        makespan_h=predict_makespan(bundles, num_nodes, workers) / per_hour if bundles else 0.0,
        num_bytes=sum(task.weight for bundle in bundles for task in bundle) * rate.bytes_per_s,
        source=rate.source,
    )


def _newest_runs(layout: Layout) -> list[str]:
    try:
        names = [path.name for path in layout.runs.iterdir()]
    except OSError:
        return []
    return sorted(names, reverse=True)[:MAX_RUNS]  # names begin with the time


def _job_rows(layout: Layout, run_id: str, launcher: str) -> Iterator[dict[str, Any]]:
    receipt = _read_object(layout.run(run_id).receipt)
    jobs = receipt.get("jobs")
    if receipt.get("launcher") == launcher and isinstance(jobs, list):
        for row in jobs:
            if isinstance(row, dict) and all(isinstance(row.get(name), str) for name in ("job", "dataset", "unit")):
                yield row


def _measure_speed(
    layout: Layout, rows: Sequence[tuple[str, dict[str, Any]]], gpus: int | None
) -> tuple[float, list[tuple[str, dict[str, Any]]]]:
    """Seconds of video per second of a worker, 0 when too little was measured; and the rows that it comes from."""
    video_s = worker_s = 0.0
    used: list[tuple[str, dict[str, Any]]] = []
    left = MAX_LIVES
    for run_id, row in rows:
        if worker_s >= ENOUGH_S or left <= 0:
            break
        lives = list(islice(_iter_files(layout.run(run_id).life_dir(row["job"]), ".json"), left))
        left -= len(lives)
        measured = [_life_seconds(life) for life in map(_read_object, lives) if _has_gpus(life, gpus)]
        if any(video > 0 for video, _ in measured):
            used.append((run_id, row))
            video_s += sum(video for video, _ in measured)
            worker_s += sum(worker for _, worker in measured)
    return (video_s / worker_s if worker_s >= LEAST_S else 0.0), used


def _has_gpus(life: Mapping[str, Any], gpus: int | None) -> bool:
    return gpus is None or bool(_number(life.get("gpus"))) == bool(gpus)


def _life_seconds(life: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds of video done, and of workers' time; zeros when nothing was done, as when all was adopted or blocked."""
    video_s, workers = _number(life.get("weight_s")), _number(life.get("workers"))
    try:
        begin = datetime.fromisoformat(str(life.get("started")))
        end = datetime.fromisoformat(str(life.get("ended") or life.get("updated")))
        seconds = (end - begin).total_seconds()
    except (ValueError, TypeError):  # TypeError: one with a time zone and one without
        return 0.0, 0.0
    return (video_s, seconds * workers) if min(video_s, workers, seconds) > 0 else (0.0, 0.0)


def _measure_bytes(layout: Layout, rows: Sequence[tuple[str, dict[str, Any]]]) -> float:
    """Bytes of output per second of video of the tasks that these runs committed; 0 when there are none."""
    num_bytes = video_s = 0.0
    left = MAX_COMMIT_LOGS
    for run_id, row in rows:
        folder = layout.unit(row["dataset"], _folder(row["unit"])).commit_log_dir
        paths = list(islice(_iter_files(folder, ".jsonl", f"{run_id}."), max(0, left)))
        left -= len(paths)
        for line in (line for path in paths for line in iter_rows(path)):
            weight_s = _number(line.get("weight_s"))
            if weight_s > 0:
                num_bytes += _number(line.get("bytes"))
                video_s += weight_s
    return num_bytes / video_s if video_s else 0.0


def _iter_files(folder: Path, suffix: str, prefix: str = "") -> Iterator[Path]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return
    for name in names:
        if name.startswith(prefix) and name.endswith(suffix) and not name.startswith("."):
            yield folder / name


def _folder(unit: str) -> str:
    """``processed_data/holoassist/features/tiny`` -> ``features/tiny``."""
    return "/".join(PurePosixPath(unit).parts[2:])


def _read_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty when the file is not there, damaged or something else."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else 0.0
