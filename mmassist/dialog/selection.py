"""Which dialogs of a recording are kept: the best, by score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mmassist.dialog.usertype import USER_TYPES


@dataclass(frozen=True)
class Scored:
    """One conversation of a record and its score."""

    index: int
    user_type: str
    user_id: str
    score: float


@dataclass(frozen=True)
class Kept:
    """A conversation to be used ``weight`` times as often as others."""

    scored: Scored
    weight: float = 1.0


@dataclass(frozen=True)
class Dropped:
    """A conversation left out; ``reason`` is ``below_threshold``, ``sampled_out``, ``not_best`` or ``incomplete``."""

    scored: Scored
    reason: str


@dataclass(frozen=True)
class Selection:
    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    missing: tuple[str, ...] = ()  # user types without a good dialog (evaluation only)


def select_train(scored: Sequence[Scored], threshold: float, ratio: float, compat: bool = False) -> Selection:
    """Keep what reaches ``threshold``, per user type the best ``ceil(n * ratio)``; a ratio above 1 becomes a weight.

    The reference sorts upwards, so a ratio below 1 keeps the worst; above 1 it writes ``int(ratio)`` literal copies,
    which the weight stands for.
    """
    kept: list[Kept] = []
    dropped: list[Dropped] = []
    for user_type in _types(scored):
        good = [s for s in scored if s.user_type == user_type and s.score >= threshold]
        dropped += [
            Dropped(s, "below_threshold") for s in scored if s.user_type == user_type and not s.score >= threshold
        ]
        ranked = sorted(good, key=lambda s: (s.score if compat else -s.score, s.index))
        num_kept = len(ranked) if ratio >= 1 else math.ceil(len(ranked) * ratio - 1e-9)
        weight = max(1.0, float(int(ratio)) if compat else ratio)
        kept += [Kept(s, weight) for s in ranked[:num_kept]]
        dropped += [Dropped(s, "sampled_out") for s in ranked[num_kept:]]
    return Selection(tuple(kept), _in_order(dropped))


def select_eval(scored: Sequence[Scored], threshold: float) -> Selection:
    """Keep the best dialog of each user type among those that reach ``threshold``, or nothing if a type has none."""
    best: dict[str, Scored] = {}
    for s in scored:
        if s.score >= threshold and (s.user_type not in best or _rank(s) < _rank(best[s.user_type])):
            best[s.user_type] = s
    missing = tuple(user_type for user_type in USER_TYPES if user_type not in best)
    kept = () if missing else tuple(Kept(best[user_type]) for user_type in USER_TYPES)
    dropped = []
    for s in scored:
        if not s.score >= threshold:
            dropped.append(Dropped(s, "below_threshold"))
        elif best.get(s.user_type) is not s:
            dropped.append(Dropped(s, "not_best"))
        elif missing:
            dropped.append(Dropped(s, "incomplete"))
    return Selection(kept, _in_order(dropped), missing)


def _rank(scored: Scored) -> tuple[float, int]:
    return -scored.score, scored.index


def _types(scored: Sequence[Scored]) -> list[str]:
    return list(dict.fromkeys(s.user_type for s in scored))


def _in_order(dropped: list[Dropped]) -> tuple[Dropped, ...]:
    return tuple(sorted(dropped, key=lambda d: d.scored.index))
