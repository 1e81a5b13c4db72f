"""Which dialogs of a recording are kept: the best, by score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mmassist.dialog.usertype import USER_TYPES


@dataclass(frozen=True)
class Scored:
    """One conversation of a record and its score; NaN where it could not be rated.

    ``is_wanted``: whether it satisfies what is asked of dialogs besides the score.
    """

    index: int
    user_type: str
    user_id: str
    score: float
    is_wanted: bool = True

    def shortcoming(self, threshold: float) -> str:
        """Why it cannot be kept whatever the others are like, empty if it can."""
        if not self.is_wanted:
            return "filtered_out"
        if math.isnan(self.score):
            return "not_scored"
        return "" if self.score >= threshold else "below_threshold"


@dataclass(frozen=True)
class Kept:
    """A conversation to be used ``weight`` times as often as others."""

    scored: Scored
    weight: float = 1.0


@dataclass(frozen=True)
class Dropped:
    """A conversation left out.

    ``reason`` is ``filtered_out``, ``not_scored``, ``below_threshold``, ``sampled_out``, ``not_best`` or
    ``incomplete``: the first of these that applies.
    """

    scored: Scored
    reason: str


@dataclass(frozen=True)
class Selection:
    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    missing: tuple[str, ...] = ()  # user types without a good dialog (evaluation only)


def select_train(scored: Sequence[Scored], threshold: float, ratio: float, compat: bool = False) -> Selection:
    """Keep what is wanted and reaches ``threshold``, per user type the best ``ceil(n * ratio)``.

    A ratio above 1 becomes a weight. The reference sorts upwards, so a ratio below 1 keeps the worst; above 1 it writes
    ``int(ratio)`` literal copies, which the weight stands for.
    """
    good, dropped = _sift(scored, threshold)
    kept: list[Kept] = []
    for user_type in dict.fromkeys(s.user_type for s in scored):
        one_type = [s for s in good if s.user_type == user_type]
        ranked = sorted(one_type, key=lambda s: (s.score if compat else -s.score, s.index))
        num_kept = len(ranked) if ratio >= 1 else math.ceil(len(ranked) * ratio - 1e-9)
        weight = max(1.0, float(int(ratio)) if compat else ratio)
        kept += [Kept(s, weight) for s in ranked[:num_kept]]
        dropped += [Dropped(s, "sampled_out") for s in ranked[num_kept:]]
    return Selection(tuple(kept), _in_order(dropped))


def select_eval(scored: Sequence[Scored], threshold: float) -> Selection:
    """Keep the best wanted dialog of each user type that reaches ``threshold``, or nothing if a type has none."""
    good, dropped = _sift(scored, threshold)
    best: dict[str, Scored] = {}
    for s in good:
        if s.user_type not in best or _rank(s) < _rank(best[s.user_type]):
            best[s.user_type] = s
    missing = tuple(user_type for user_type in USER_TYPES if user_type not in best)
    kept = () if missing else tuple(Kept(best[user_type]) for user_type in USER_TYPES)
    dropped += [Dropped(s, "not_best") for s in good if best[s.user_type] is not s]
    dropped += [Dropped(s, "incomplete") for s in best.values() if missing]
    return Selection(kept, _in_order(dropped), missing)


def _sift(scored: Sequence[Scored], threshold: float) -> tuple[list[Scored], list[Dropped]]:
    good = [s for s in scored if not s.shortcoming(threshold)]
    return good, [Dropped(s, s.shortcoming(threshold)) for s in scored if s.shortcoming(threshold)]


def _rank(scored: Scored) -> tuple[float, int]:
    return -scored.score, scored.index


def _in_order(dropped: list[Dropped]) -> tuple[Dropped, ...]:
    return tuple(sorted(dropped, key=lambda d: d.scored.index))
