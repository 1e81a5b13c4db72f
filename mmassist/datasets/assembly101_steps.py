"""Assembly101's coarse steps with what the mistake rows and fine actions say about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmassist.core.annotation import Step, Substep
from mmassist.core.item import Drop
from mmassist.datasets.assembly101_fine import FineAction
from mmassist.datasets.assembly101_mistake import (
    MistakeRow,
    is_verb,
    word_action,
    word_action_compat,
    word_note,
    word_note_compat,
)
from mmassist.datasets.assembly101_rows import CoarseRow


@dataclass(frozen=True)
class Content:
    """One task's coarse rows in order, and the rows and actions that belong to each, by its position.

    ``idle_actions`` begin between two steps.
    """

    coarse: Sequence[CoarseRow]
    mistakes_of: Mapping[int, Sequence[MistakeRow]]
    actions_of: Mapping[int, Sequence[FineAction]]
    idle_actions: Sequence[FineAction] = ()

    @property
    def mistakes(self) -> list[MistakeRow]:
        return [row for position in sorted(self.mistakes_of) for row in self.mistakes_of[position]]

    @property
    def actions(self) -> list[FineAction]:
        """Those of all steps; the reference gives one to each of several steps that overlap."""
        return list(dict.fromkeys(a for position in sorted(self.actions_of) for a in self.actions_of[position]))


def join_rows(
    coarse: Mapping[str, Sequence[CoarseRow]], mistakes: Sequence[MistakeRow], actions: Sequence[FineAction]
) -> tuple[dict[str, Content], list[MistakeRow]]:
    """Give every mistake row and fine action to a step; the second value are mistake rows that fit none.

    ``coarse`` is by task. A mistake row belongs to the step it overlaps most, of equals to the one it begins with; an
    instant to the step in which it lies. A fine action belongs to the step that began last of those in which it begins.
    """
    mistakes_of: dict[str, dict[int, list[MistakeRow]]] = {task: defaultdict(list) for task in coarse}
    loose = []
    for row in mistakes:
        place = _find_step(row, coarse)
        if place is None:
            loose.append(row)
        else:
            mistakes_of[place[0]][place[1]].append(row)
    contents = {task: _place_actions(rows, mistakes_of[task], actions) for task, rows in coarse.items()}
    return contents, loose


def _find_step(row: MistakeRow, coarse: Mapping[str, Sequence[CoarseRow]]) -> tuple[str, int] | None:
    best: tuple[tuple[float, bool], str, int] | None = None
    for task, rows in coarse.items():
        for position, step in enumerate(rows):
            shared_s = min(row.end_s, step.end_s) - max(row.start_s, step.start_s)
            if shared_s <= 0 and not _begins_in(row.start_s, step):
                continue
            fit = (round(max(0.0, shared_s), 6), row.start_s == step.start_s)
            if best is None or fit > best[0]:
                best = fit, task, position
    return best[1:] if best else None


def _place_actions(
    coarse: Sequence[CoarseRow], mistakes_of: Mapping[int, Sequence[MistakeRow]], actions: Sequence[FineAction]
) -> Content:
    actions_of: dict[int, list[FineAction]] = defaultdict(list)
    idle = []
    end_s = max(step.end_s for step in coarse)
    for action in actions:
        inside = [position for position, step in enumerate(coarse) if _begins_in(action.start_s, step)]
        if inside:
            actions_of[inside[-1]].append(action)
        elif coarse[0].start_s < action.start_s < end_s:
            idle.append(action)
    return Content(coarse, mistakes_of, actions_of, idle)


def _begins_in(start_s: float, step: CoarseRow) -> bool:
    return step.start_s <= start_s < step.end_s or start_s == step.start_s


def build_steps(content: Content, verbs: Sequence[str], sequence: str, drops: list[Drop]) -> tuple[Step, ...]:
    """The steps as they are told; ``verbs`` are the first words of the fine actions that become substeps."""
    steps = []
    for position, row in enumerate(content.coarse):
        actions = [action for action in content.actions_of.get(position, ()) if action.verb in verbs]
        steps.append(_build_step(row, content.mistakes_of.get(position, ()), actions, sequence, drops))
    idle = [action for action in content.idle_actions if action.verb in verbs]
    drops += [Drop(sequence, action.record, "begins between two steps") for action in idle]
    return tuple(steps)


def _build_step(
    coarse: CoarseRow, rows: Sequence[MistakeRow], actions: Sequence[FineAction], sequence: str, drops: list[Drop]
) -> Step:
    """One step. The mistake row that means the same action names its second part as well.

    That is the row of the same action, else the one that begins with the step. What other rows say goes into the note.
    A mistake has no substeps, because what is told in detail would be instructed.
    """
    text, notes = coarse.text, []
    main = min(rows, key=lambda row: (not row.names(text), row.start_s != coarse.start_s, row[:-2]), default=None)
    if main and (main.names(text) or main.start_s == coarse.start_s):
        text = _word_row(main, coarse) or text
    else:
        main = None
    for row in rows:
        wording = _word_row(row, coarse)
        if row.label == "correct" and not wording:
            drops.append(Drop(sequence, row.record, "correct action without a verb or part that is known"))
        elif row.label == "correct" and row is not main and wording != text:
            drops.append(Drop(sequence, row.record, "correct action in a step that is named after another"))
        notes.append(word_note(row, _verb(row, coarse), row is main))
    is_wrong = any(row.label == "mistake" for row in rows)
    told: dict[Substep, None] = {}
    for action in actions:
        substep = Substep(action.start_s, action.text)
        if is_wrong or substep in told:
            reason = "in a step that is a mistake" if is_wrong else "copy of another action"
            drops.append(Drop(sequence, action.record, reason))
        else:
            told[substep] = None
    return Step(coarse.start_s, coarse.end_s, text, "; ".join(dict.fromkeys(filter(None, notes))), tuple(told))


def _word_row(row: MistakeRow, coarse: CoarseRow) -> str:
    return word_action(_verb(row, coarse), row.this, row.that)


def _verb(row: MistakeRow, coarse: CoarseRow) -> str:
    """The row's verb; one row has a part in its place, where the step says it."""
    return row.verb if is_verb(row.verb) else coarse.text.split(" ", 1)[0]


def join_rows_compat(
    coarse: Mapping[str, Sequence[CoarseRow]], mistakes: Sequence[MistakeRow], actions: Sequence[FineAction]
) -> tuple[dict[str, Content], list[MistakeRow]]:
    """The reference: a step gets the first mistake row of the same start, and every action that begins inside."""
    first: dict[float, MistakeRow] = {}
    for row in mistakes:
        first.setdefault(row.start_s, row)
    contents = {}
    for task, rows in coarse.items():
        found = {at: [first[step.start_s]] for at, step in enumerate(rows) if step.start_s in first}
        inside = {at: [a for a in actions if step.start_s <= a.start_s < step.end_s] for at, step in enumerate(rows)}
        contents[task] = Content(rows, found, inside)
    return contents, []


def build_steps_compat(content: Content, verbs: Sequence[str], sequence: str, drops: list[Drop]) -> tuple[Step, ...]:
    """The reference: the row's wording whatever it says, and substeps only without a note and if more than one."""
    steps = []
    for position, coarse in enumerate(content.coarse):
        rows = content.mistakes_of.get(position, ())
        text = word_action_compat(rows[0]) if rows else coarse.text
        note = word_note_compat(rows[0], text) if rows else ""
        actions = [a for a in content.actions_of.get(position, ()) if a.text.startswith(tuple(verbs))]
        told = () if note or len(actions) < 2 else tuple(Substep(action.start_s, action.text) for action in actions)
        steps.append(Step(coarse.start_s, coarse.end_s, text, note, told))
    return tuple(steps)
