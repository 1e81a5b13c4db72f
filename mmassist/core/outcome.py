"""What became of an item in one attempt."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Outcome:
    """One row of the ledger.

    ``reason`` is the skip reason, the failure's kind or the blocking input; ``inputs`` the digest of what the item
    was made from, so a later run can tell whether trying again makes sense.
    """

    item: str
    status: Status
    reason: str = ""
    message: str = ""
    inputs: str = ""
    attempt: int = 1
    task: str = ""
    traceback: str = ""  # path of a file, relative to DATA_ROOT_DIR
    run_id: str = ""
    time: str = ""

    def to_row(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Outcome:
        return cls(**{**row, "status": Status(row["status"])})
