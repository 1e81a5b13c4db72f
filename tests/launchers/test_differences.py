"""Settings that differ are told by the names that a command has for them."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.differences import describe_differences

COMPAT = "compat of extract is false there and true now"
EXTRACT: dict[str, Any] = {"version": 1, "compat": False, "extract": {"size": 384}}


def pack(**reads: Any) -> dict[str, Any]:
    return {"version": 2, "pack": {"include_features": False}, "reads": reads}


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (pack(), pack(), ""),
        (EXTRACT, EXTRACT | {"extract": {"size": None}}, "extract.size is 384 there and null now"),
        (
            pack(encode={"reads": {"extract": EXTRACT}}, extract=EXTRACT),
            pack(
                encode={"reads": {"extract": EXTRACT | {"extract": {"size": 256}}}},
                extract=EXTRACT | {"extract": {"size": 256}},
            ),
            "extract.size is 384 there and 256 now",
        ),
        (pack(extract=EXTRACT), pack(extract=EXTRACT | {"compat": True}), COMPAT),
        (pack(), pack(encode=EXTRACT), "encode was not read there and is now"),
        (pack(**{"judge@llm": EXTRACT}), pack(), "judge (llm) was read there and is not now"),
        (EXTRACT, EXTRACT | {"extract": {"size": 384, "fps": 3}}, "extract.fps is its default there and 3 now"),
    ],
)  # fmt: skip
def test_differences_are_named(before: dict[str, Any], now: dict[str, Any], said: str) -> None:
    assert describe_differences(before, now) == said
