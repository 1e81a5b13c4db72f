"""The one place that knows where outputs lie. Nothing else composes an output path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class UnitLayout:
    """Paths of one output folder, such as ``processed_data/holoassist/frames``."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def tasks(self) -> Path:
        return self.root / "tasks.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def assignment(self) -> Path:
        """``splits/`` only: recording -> train, val or test."""
        return self.root / "assignment.json"

    @property
    def audit(self) -> Path:
        """``splits/`` only: who is on which side, and what was moved."""
        return self.root / "audit.json"

    @property
    def shard_dir(self) -> Path:
        return self.root / "shards"

    @property
    def index_dir(self) -> Path:
        return self.root / "index"

    @property
    def record_dir(self) -> Path:
        return self.root / "tasks"

    @property
    def ledger_dir(self) -> Path:
        return self.root / "ledger"

    @property
    def journal_dir(self) -> Path:
        return self.root / "journal"

    def shard(self, task: str) -> Path:
        return self.shard_dir / f"{task}.tar"

    def index(self, task: str) -> Path:
        return self.index_dir / f"{task}.json"

    def record(self, task: str) -> Path:
        return self.record_dir / f"{task}.json"

    def ledger(self, writer: str) -> Path:
        return self.ledger_dir / f"{writer}.jsonl"

    def drops(self, writer: str) -> Path:
        """What of the sources' records was left out of finished items, or repaired."""
        return self.ledger_dir / "drops" / f"{writer}.jsonl"

    @property
    def commit_log_dir(self) -> Path:
        return self.ledger_dir / "commits"

    @property
    def done_log_dir(self) -> Path:
        return self.ledger_dir / "done"

    def commit_log(self, writer: str) -> Path:
        """One line per task that ``writer`` committed, so that counting needs not open every record."""
        return self.commit_log_dir / f"{writer}.jsonl"

    def done_log(self, writer: str) -> Path:
        """One line per item that ``writer`` finished: when, where, how long it took."""
        return self.done_log_dir / f"{writer}.jsonl"

    def fragment_dir(self, task: str) -> Path:
        return self.journal_dir / task

    def fragment(self, task: str, key: str) -> Path:
        """A finished item of a task that is still open."""
        return self.fragment_dir(task) / f"{key}.part"

    def answers(self, task: str, key: str) -> Path:
        """The language model's answers for an item in hand, one JSON line each."""
        return self.fragment_dir(task) / f"{key}.answers.jsonl"

    def retired(self, run_id: str) -> Path:
        """Where a redone task's old files go."""
        return self.root / "retired" / run_id

    def aside(self, run_id: str) -> Path:
        """Where the whole folder goes when it is redone with other settings."""
        return self.root.with_name(f"{self.root.name}.stale-{run_id}")


@dataclass(frozen=True)
class RunLayout:
    """Paths of one command's run folder."""

    root: Path

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def receipt(self) -> Path:
        return self.root / "receipt.json"

    @property
    def submitting(self) -> Path:
        """Rewritten while a submission is under way: its jobs wait as long as it changes."""
        return self.root / "submitting"

    @property
    def code(self) -> Path:
        return self.root / "code"

    def drops(self, dataset: str) -> Path:
        """What of a source's records was repaired or left out while listing it, and why."""
        return self.root / "drops" / f"{dataset}.json"

    @property
    def log_dir(self) -> Path:
        return self.root / "logs"

    def config(self, unit: str) -> Path:
        return self.root / "configs" / f"{unit}.json"

    def element(self, unit: str, index: int) -> Path:
        """The tasks and items of one array element."""
        return self.root / "elements" / unit / f"{index:05d}.json"

    def log(self, writer: str) -> Path:
        return self.log_dir / f"{writer}.jsonl"

    def output(self, writer: str) -> Path:
        """What a worker's libraries print."""
        return self.log_dir / f"{writer}.out"

    def traceback(self, unit: str, key: str, attempt: int) -> Path:
        return self.log_dir / "tracebacks" / f"{unit}.{key}.{attempt}.txt"

    def life_dir(self, unit: str) -> Path:
        return self.root / "lives" / unit

    def life(self, unit: str, element: int, start: int) -> Path:
        """What an element did from one of its starts to its end; ``start`` 0 is the first, each requeue is one more."""
        return self.life_dir(unit) / f"{element:05d}.{start}.json"

    def slurm_dir(self, unit: str) -> Path:
        return self.log_dir / "slurm" / unit


@dataclass(frozen=True)
class Layout:
    """Paths below DATA_ROOT_DIR."""

    data_root: Path

    @property
    def datasets(self) -> Path:
        return self.data_root / "datasets"

    @property
    def processed(self) -> Path:
        return self.data_root / "processed_data"

    @property
    def runs(self) -> Path:
        return self.data_root / "runs"

    def unit(self, dataset: str, folder: str) -> UnitLayout:
        return UnitLayout(self.processed / dataset / folder)

    def run(self, run_id: str) -> RunLayout:
        return RunLayout(self.runs / run_id)

    def relative(self, path: Path) -> str:
        """``path`` as records hold it: relative to DATA_ROOT_DIR."""
        return path.relative_to(self.data_root).as_posix()
