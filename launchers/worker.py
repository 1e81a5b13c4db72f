"""A process that runs tasks: in this process for ``basic``, or as a supervisor's child.

The child reads one command per line from standard input and reports events as JSON lines on the standard output it
was started with; whatever libraries print goes to standard error, which the supervisor keeps in the run folder.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from launchers.context import RuntimeContext
from launchers.jobs import build_stage
from launchers.work import FailureGauge, Report, TaskRunner, attempt_name, first_error
from mmassist.core.errors import ConfigError, StageError
from mmassist.io import disk
from mmassist.io.layout import Layout, RunLayout, UnitLayout

log = logging.getLogger(__name__)
PR_SET_PDEATHSIG = 1


class Worker:
    """One job's stage, context and runner in this process, for the tasks of one element.

    ``alone``: no supervisor counts failures over several workers, so this process does.
    """

    def __init__(
        self, data_root: Path, run: RunLayout, name: str, element: int, child: int, report: Report, alone: bool
    ):
        config = json.loads(run.config(name).read_text())
        self.rows = load_element(run, name, element)
        sides = {row["key"]: row.get("side", "") for task in self.rows for row in task["items"]}
        unit = UnitLayout(Path(config["unit"]))
        upstream = {stage: UnitLayout(Path(root)) for stage, root in config["upstream"].items()}
        stage = build_stage(config["stage"], config["sections"])
        variable = stage.engine.secret_name if stage.engine is not None else None
        secret = os.environ.get(variable) if variable else None
        if variable and not secret:
            raise StageError(f"the environment variable {variable}, which holds the model's key, is not set here")
        self.context = RuntimeContext(
            stage,
            data_root,
            unit,
            upstream,
            config["sections"],
            config["compat"],
            sides,
            secret,
            config["revision"],
        )
        stage_config = stage.configs[stage.name]
        self.runner = TaskRunner(
            stage,
            self.context,
            Layout(data_root),
            unit,
            run,
            config,
            attempt_name(config["run_id"], element, child, os.getpid()),
            os.environ.get("SLURMD_NODENAME") or socket.gethostname(),
            report,
            FailureGauge(stage_config.max_fail_ratio if alone else 1.0),
        )
        self._stage, self._is_set_up = stage, False

    async def run_task(self, row: dict[str, Any], careful: bool = False) -> bool:
        """Run one task, ``careful`` one item at a time. Raises StageError."""
        if not self._is_set_up:
            self._stage.setup(self.context)
            self._is_set_up = True
        return await self.runner.run_task(row, careful)

    def close(self) -> None:
        self.context.close()


def load_element(run: RunLayout, job: str, element: int) -> list[dict[str, Any]]:
    """The tasks of one array element with all that is known of their items."""
    rows: list[dict[str, Any]] = json.loads(run.element(job, element).read_text())["tasks"]
    return rows


class JsonLog(logging.Handler):
    """Writes records as JSON lines: time, level, logger, message. A line that does not fit on the disk is lost.

    Raises DiskError when the file cannot be opened.
    """

    def __init__(self, path: Path):
        super().__init__()
        with disk.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)

    def emit(self, record: logging.LogRecord) -> None:
        row = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            row["traceback"] = logging.Formatter().formatException(record.exc_info)
        with contextlib.suppress(OSError):  # else a full disk would count as the fault of the item in hand
            self._file.write(json.dumps(row).encode() + b"\n")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        super().close()


@contextlib.contextmanager
def root_logging(handler: logging.Handler, level: str) -> Iterator[None]:
    """Send all records of at least ``level`` to ``handler`` while the block runs."""
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()


def main() -> int:
    """Entry of a supervisor's child: ``python -m launchers.worker DATA_ROOT RUN_DIR JOB ELEMENT CHILD``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("job")
    parser.add_argument("element", type=int)
    parser.add_argument("child", type=int)
    args = parser.parse_args()
    die_with_parent()
    # The supervisor alone answers signals; SLURM sends them to all processes of a job, those of ours included.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def report(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    run = RunLayout(args.run_dir)
    level = json.loads(run.config(args.job).read_text())["log_level"]
    try:
        with root_logging(JsonLog(run.log(f"{args.job}.{args.element:05d}.{args.child}")), level):
            _work(args, run, report)
    except (StageError, ConfigError, OSError) as error:  # OSError: files of the run itself cannot be read
        report({"event": "error", "kind": type(error).__name__, "message": str(error)})
        return 1
    return 0


def _work(args: argparse.Namespace, run: RunLayout, report: Report) -> None:
    try:
        worker = Worker(args.data_root, run, args.job, args.element, args.child, report, alone=False)
        rows = {row["name"]: row for row in worker.rows}
        asyncio.run(_serve(worker, rows, report))
    except (StageError, ConfigError, OSError) as error:
        log.error("%s", error)
        raise


async def _serve(worker: Worker, rows: dict[str, dict[str, Any]], report: Report) -> None:
    """Do what the supervisor says, until it says stop: several tasks at once, as far as items in flight allow."""
    loop = asyncio.get_running_loop()
    commands: asyncio.Queue[list[str]] = asyncio.Queue()

    def read_commands() -> None:
        for line in sys.stdin:
            words = line.split()
            if words and words[0] == "stop":
                loop.call_soon_threadsafe(worker.runner.stop)
            loop.call_soon_threadsafe(commands.put_nowait, words)
        loop.call_soon_threadsafe(commands.put_nowait, ["stop"])

    threading.Thread(target=read_commands, daemon=True).start()

    async def run(row: dict[str, Any], careful: bool) -> None:
        log.info("task %s begins", row["name"])
        committed = await worker.run_task(row, careful)
        log.info("task %s is %s", row["name"], "committed" if committed else "left open")
        report({"event": "task", "task": row["name"], "committed": committed})

    report({"event": "ready"})
    worker.runner.when_roomy = lambda: report({"event": "more"})
    try:
        async with asyncio.TaskGroup() as group:
            while (words := await commands.get())[0] != "stop":
                group.create_task(run(rows[words[1]], careful=words[2:] == ["careful"]))
    except* StageError as errors:
        raise first_error(errors) from None
    finally:
        worker.close()


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, so that no orphan goes on writing."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
