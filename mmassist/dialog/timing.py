"""Turns that come too close together are moved apart, once all windows of a recording are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mmassist.dialog.turn import ANSWER_WITHIN_S, Turn

MIN_GAP_S = 0.5  # closer turns are moved
SPACING_S = 1.0  # to this far behind the turn before
_EPSILON_S = 1e-6


def adjust_times(turns: Sequence[Turn], compat: bool, end_s: float | None = None) -> list[Turn]:
    """Move turns apart; every turn is kept, a user turn and its answer stay together.

    Reference: a turn less than MIN_GAP_S behind (or before) the previous one goes to SPACING_S behind it, and turns
    within a second of it go along; nothing is sorted, so an answer can stay before its question. Corrected: in order of
    time, answers never before their questions, gaps of MIN_GAP_S at least except inside such a pair; user turns in a
    row with one answer move as a whole and stay answered; applying it twice changes nothing. What would pass ``end_s``
    moves back as far as there is room.
    """
    if compat:
        return _adjust_reference(turns)
    units = sorted(_pair_up(turns), key=lambda unit: unit[0].time_s)
    units = _push_forward(units)
    if end_s is not None:
        units = _pull_back(units, end_s)
    return [turn for unit in units for turn in unit]


def _adjust_reference(turns: Sequence[Turn]) -> list[Turn]:
    moved = list(turns)
    for index in range(1, len(moved)):
        before, turn = moved[index - 1], moved[index]
        if turn.time_s - before.time_s >= MIN_GAP_S or (before.is_user and not turn.is_user):
            continue
        target = before.time_s + SPACING_S
        moved[index] = replace(turn, time_s=target)
        for follower in range(index + 1, len(moved) - 1):  # the very last turn never goes along
            if abs(moved[follower].time_s - turn.time_s) > 1.0:
                break
            moved[follower] = replace(moved[follower], time_s=target)
    return moved


def _pair_up(turns: Sequence[Turn]) -> list[list[Turn]]:
    """Units that move as one: user turns with the assistant turn behind them that answers them all, or one turn."""
    units: list[list[Turn]] = []
    for turn in turns:
        unit = [turn]
        if units and units[-1][-1].is_user and not turn.is_user:
            unit = [replace(turn, time_s=max(turn.time_s, units[-1][-1].time_s))]
            while units and len(units[-1]) == 1 and _is_asked(units[-1][0], unit):
                unit = units.pop() + unit
            unit = _spread(unit) if len(unit) > 1 else [turn]
        units.append(unit)
    return units


def _is_asked(turn: Turn, unit: list[Turn]) -> bool:
    answered_s = unit[-1].time_s
    return turn.is_user and turn.time_s <= unit[0].time_s and answered_s - turn.time_s <= ANSWER_WITHIN_S


def _spread(unit: list[Turn]) -> list[Turn]:
    """Move the user turns of a unit apart, no further than leaves the first one answered if that is possible."""
    *asked, answer = unit
    apart = _push_forward([[turn] for turn in asked])
    if (len(asked) - 1) * MIN_GAP_S <= ANSWER_WITHIN_S:
        apart = _pull_back(apart, asked[0].time_s + ANSWER_WITHIN_S)
    asked = [turn for (turn,) in apart]
    return [*asked, replace(answer, time_s=max(answer.time_s, asked[-1].time_s))]


def _push_forward(units: list[list[Turn]]) -> list[list[Turn]]:
    placed: list[list[Turn]] = []
    for unit in units:
        if placed:
            last = placed[-1][-1]
            is_pair = len(unit) == 1 and last.is_user and not unit[0].is_user
            gap_s = unit[0].time_s - last.time_s
            if gap_s < MIN_GAP_S - _EPSILON_S and not (is_pair and gap_s >= 0):
                unit = _shift(unit, last.time_s + SPACING_S - unit[0].time_s)
        placed.append(unit)
    return placed


def _pull_back(units: list[list[Turn]], end_s: float) -> list[list[Turn]]:
    placed = list(units)
    limit_s = end_s
    for index in reversed(range(len(placed))):
        excess_s = placed[index][-1].time_s - limit_s
        if excess_s <= _EPSILON_S:
            break
        placed[index] = _shift(placed[index], -excess_s)
        limit_s = placed[index][0].time_s - MIN_GAP_S
    # Without room for all, times would fall below zero: better a little late than never said.
    return units if placed and placed[0][0].time_s < 0 else placed


def _shift(unit: list[Turn], by_s: float) -> list[Turn]:
    return [replace(turn, time_s=round(turn.time_s + by_s, 3)) for turn in unit]
