from __future__ import annotations

import pytest

from mmassist.dialog.progress import parse_summary, render_progress
from mmassist.dialog.turn import Turn

TEXT = "Here you go\nSUMMARY: The aim: tea. Done so far: water."
TURNS = [Turn("user", 159.3, "tea"), Turn("assistant", 170.0, "fill it")]


def test_the_whole_summary_is_kept() -> None:
    assert parse_summary(TEXT, compat=False) == "The aim: tea. Done so far: water."
    assert parse_summary(TEXT, compat=True) == "The aim"


def test_text_without_the_word_is_the_summary() -> None:
    assert parse_summary("The aim is\ntea.", compat=False) == "The aim is tea."
    assert parse_summary("The aim is tea.", compat=True) == ""
    asked = "The user asked for a summary: the tea is served."
    assert parse_summary(asked, compat=False) == asked


@pytest.mark.parametrize(
    "text",
    [
        "**SUMMARY:** The aim: tea.",
        "Sure!\n\n> Summary : The aim:\ntea.\n\nAnything else?",
        "SUMMARY: no, wait.\nSUMMARY: The aim: tea.",
        "My thoughts.\n## SUMMARY:\n\nThe aim: tea.",
    ],
)
def test_however_the_marker_is_written_the_last_one_counts(text: str) -> None:
    assert parse_summary(text, compat=False) == "The aim: tea."


def test_time_counts_from_the_start_of_the_task() -> None:
    assert render_progress("Water.", TURNS[1], TURNS, compat=False) == "Time since the task began: 10.7 seconds. Water."
    assert "170.0 seconds" in render_progress("Water.", TURNS[1], TURNS, compat=True)
