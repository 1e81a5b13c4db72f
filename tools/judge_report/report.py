"""The report as plain values: per source the judges one by one, then every two of them beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from mmassist.core.fingerprint import digest
from mmassist.dialog.judgement import FINAL, SPREAD
from mmassist.dialog.rubric import HIGHEST, LOWEST
from mmassist.dialog.usertype import USER_TYPES
from tools.judge_report.example import Examples, choose
from tools.judge_report.scores import Judged, JudgeScores, Values
from tools.judge_report.statistic import compare, describe, rank
from tools.records.file import table_of
from tools.records.unit import Unit

SCHEMA_VERSION = 1
ALL = "all"  # in the place of a type of user
Pair = tuple[Judged, Judged]


def source_row(dataset: str, judges: Sequence[JudgeScores], units: Sequence[Unit], num_examples: int) -> dict[str, Any]:
    """Everything about one source; ``units`` are all its folders, ``judges`` the scores found in some of them."""
    examples = Examples(units)
    try:
        return {
            "dataset": dataset,
            "judges": [_judge_row(scores, examples, num_examples) for scores in judges],
            "agreements": [_agreement_row(a, b, examples, num_examples) for a, b in combinations(judges, 2)],
        }
    finally:
        examples.close()


def _judge_row(scores: JudgeScores, examples: Examples, num_examples: int) -> dict[str, Any]:
    shown = []
    for name, members in _by_type(scores.rows):
        if name != ALL:
            for which, chosen in choose(members, num_examples).items():
                shown += [{"which": which, **examples.row(one, scores)} for one in chosen]
    return {
        "judge": scores.judge,
        "unit": f"processed_data/{scores.unit.path}",
        "engine": dict(scores.engine),
        "generator": scores.generator,
        "items": {"total": scores.num_items, "scored": scores.num_scored},
        "conversations": len(scores.rows),
        "measures": _measure_rows(scores),
        "examples": shown,
    }


def _measure_rows(scores: JudgeScores) -> list[dict[str, Any]]:
    """Distributions of every measure over all conversations and per type of user, then those of whole recordings."""
    is_rated = bool(scores.criteria)
    found = []
    for measure in scores.measures:
        known = [value for row in scores.rows if (value := row.values.get(measure)) is not None]
        bounds: tuple[float, float] | None = (min(known), max(known)) if known else None
        if is_rated:
            bounds = (LOWEST, HIGHEST)  # the scale, so that histograms can be compared
        for name, members in _by_type(scores.rows):
            found.append(_measure_row(measure, name, [row.values for row in members], bounds))
    of_records = list(scores.records.values())
    names = dict.fromkeys(name for values in of_records for name in values if not name.endswith(SPREAD))
    return found + [_measure_row(name, "", of_records, (LOWEST, HIGHEST)) for name in names]


def _measure_row(
    measure: str, user_type: str, rows: Sequence[Values], bounds: tuple[float, float] | None
) -> dict[str, Any]:
    spreads = [values.get(measure + SPREAD) for values in rows]
    row = describe([values.get(measure) for values in rows], bounds)
    return {"measure": measure, "user_type": user_type, **row, "mean_spread": describe(spreads)["mean"]}


def _agreement_row(a: JudgeScores, b: JudgeScores, examples: Examples, num_examples: int) -> dict[str, Any]:
    pairs, num_others = _match(a, b)
    rows = []
    for left, right in _list_measures(a, b):
        for name, members in _by_type_of_pairs(pairs):
            values = [(one.values.get(left), two.values.get(right)) for one, two in members]
            known = [(x, y) for x, y in values if x is not None and y is not None]
            compared = compare([x for x, _ in known], [y for _, y in known])
            rows.append({"measures": [left, right], "user_type": name, **compared})
    disagreements = [_disagreement_row(pair, gap, (a, b), examples) for pair, gap in _find_gaps(pairs, num_examples)]
    return {
        "judges": [a.judge, b.judge],
        "common": len(pairs),
        "other_dialogs": num_others,
        "rows": rows,
        "disagreements": disagreements,
    }


def _match(a: JudgeScores, b: JudgeScores) -> tuple[list[Pair], int]:
    """Conversations that both judged, and how many of the same name are not the same dialogs."""
    of_b = {row.place: row for row in b.rows}
    pairs = [(row, of_b[row.place]) for row in a.rows if row.place in of_b]
    first, second = (digest(table_of(scores.unit.settings, "reads")) for scores in (a, b))
    same = [(x, y) for x, y in pairs if (x.inputs == y.inputs if x.inputs and y.inputs else first == second)]
    return same, len(pairs) - len(same)


def _list_measures(a: JudgeScores, b: JudgeScores) -> list[tuple[str, str]]:
    """Final scores, criteria that both rate, and what only one of them rates against the other's final score."""
    both = [name for name in a.criteria if name in b.criteria]
    alone = [(name, FINAL) for name in a.criteria if name not in both]
    alone += [(FINAL, name) for name in b.criteria if name not in both]
    return [(FINAL, FINAL), *((name, name) for name in both), *alone]


def _find_gaps(pairs: Sequence[Pair], number: int) -> list[tuple[Pair, float]]:
    """The pairs whose places in the two judges' orders lie farthest apart, as shares of all places."""
    known = [(a, b) for a, b in pairs if a.final is not None and b.final is not None]
    if len(known) < 2:
        return []
    left, right = (rank([pair[side].final for pair in known]) for side in (0, 1))  # type: ignore[misc]
    gaps = [float(gap) for gap in (left - right) / (len(known) - 1)]
    order = sorted(range(len(known)), key=lambda n: (-abs(gaps[n]), known[n][0].place))
    return [(known[n], gaps[n]) for n in order[:number] if gaps[n]]


def _disagreement_row(
    pair: Pair, gap: float, scores: tuple[JudgeScores, JudgeScores], examples: Examples
) -> dict[str, Any]:
    row = examples.row(pair[0], scores[0])
    rationales = [examples.rationale(one, of) for one, of in zip(pair, scores, strict=True)]
    values = [{name: one.values.get(name) for name in of.measures} for one, of in zip(pair, scores, strict=True)]
    return {
        **{name: row[name] for name in ("key", "user_type", "user_id", "dialog", "remark")},
        "scores": [one.final for one in pair],
        "values": values,
        "rationales": rationales,
        "gap": abs(gap),
        "better": scores[0 if gap > 0 else 1].judge,
    }


def _by_type(rows: Sequence[Judged]) -> list[tuple[str, list[Judged]]]:
    names = sorted({row.user_type for row in rows}, key=_type_rank)
    return [(ALL, list(rows)), *((name, [row for row in rows if row.user_type == name]) for name in names)]


def _by_type_of_pairs(pairs: Sequence[Pair]) -> list[tuple[str, list[Pair]]]:
    names = sorted({a.user_type for a, _ in pairs}, key=_type_rank)
    return [(ALL, list(pairs)), *((name, [pair for pair in pairs if pair[0].user_type == name]) for name in names)]


def _type_rank(name: str) -> tuple[int, str]:
    return (USER_TYPES.index(name) if name in USER_TYPES else len(USER_TYPES), name)
