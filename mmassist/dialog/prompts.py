"""One function per kind of request: typed facts in, a prompt with its schema and payload out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mmassist.core.annotation import Annotation, Step
from mmassist.dialog import schemas, templates
from mmassist.dialog.annotation import Clip, render_description
from mmassist.dialog.checking import Window
from mmassist.dialog.knowledge import Knowledge
from mmassist.dialog.promptset import BUILT_IN, PromptSet
from mmassist.dialog.schemas import Limits
from mmassist.dialog.turn import Turn, cut_history, render_history, render_turns

PromptKind = Literal["goal", "consolidate", "match", "label", "dialog", "refine", "summary", "rate", "rate_goal"]
Form = Literal["json", "lines"]  # of an answer: one JSON object, or lines of text

NUM_RECENT_TURNS = 6  # of a summary's payload; the prompt itself holds the whole conversation
_LINES_OF_REFERENCE = ("dialog", "refine", "summary")  # its other kinds are asked for in the engine's own form


@dataclass(frozen=True)
class Prompt:
    """What is to be asked, without any word about sampling.

    ``schema`` is what the model decodes under, None for lines of text. ``shape`` is the schema that the answer is held
    to in either form; None for the reference's rules, which take any text.
    """

    kind: PromptKind
    template: str
    system: str
    user: str
    schema: dict[str, Any] | None
    payload: dict[str, Any]
    shape: dict[str, Any] | None = None

    @property
    def form(self) -> Form:
        return "lines" if self.schema is None else "json"


@dataclass(frozen=True)
class Style:
    """How is asked: the form of answers that the engine keeps to, the wording, and how much a window may hold."""

    form: Form = "json"
    texts: PromptSet = BUILT_IN
    limits: Limits = field(default_factory=Limits)


BUILT_IN_STYLE = Style()


@dataclass(frozen=True)
class Scene:
    """What stays the same over all windows and conversations of a recording."""

    annotation: Annotation
    knowledge: Knowledge
    guidance: str = "none"
    compat: bool = False
    style: Style = BUILT_IN_STYLE


@dataclass(frozen=True)
class Speaker:
    """One of the simulated users; ``index`` is the conversation's place in the record."""

    index: int
    user_type: str


def goal_prompt(annotation: Annotation, compat: bool, style: Style = BUILT_IN_STYLE) -> Prompt:
    """Ask for the task's name and its procedure, as far as the recording shows it."""
    user = style.texts.fill(
        "goal",
        goal=annotation.goal or "a task that has to be found out",
        description=render_description(annotation, compat),
        knowledge_type=annotation.knowledge_type,
        format=_format("goal", compat, style),
    )
    payload = _facts(annotation) | {"steps": _step_rows(annotation.steps, 0)}
    return _plain_prompt("goal", user, schemas.goal_shape(), payload, compat, style)


def consolidate_prompt(
    annotation: Annotation, candidates: Sequence[Knowledge], compat: bool = False, style: Style = BUILT_IN_STYLE
) -> Prompt:
    """Ask for one version in the place of several."""
    listed = [
        f"{annotation.knowledge_type.capitalize()} {number}\n{candidate.render()}\n"
        for number, candidate in enumerate(candidates, start=1)
    ]
    user = style.texts.fill(
        "consolidate",
        knowledge_type=annotation.knowledge_type,
        candidates="\n".join(listed),
        format=_format("consolidate", compat, style),
    )
    payload = _facts(annotation) | {"candidates": [{"task": c.goal, "steps": list(c.steps)} for c in candidates]}
    return _plain_prompt("consolidate", user, schemas.goal_shape(), payload, compat, style)


def match_prompt(
    annotation: Annotation, tasks: Sequence[Knowledge], compat: bool, style: Style = BUILT_IN_STYLE
) -> Prompt:
    """Ask which of some known tasks a recording shows; the answer counts from 1."""
    listed = "\n\n".join(f"Task {number}: {task.render()}" for number, task in enumerate(tasks, start=1))
    user = style.texts.fill(
        "match",
        description=render_description(annotation, compat),
        tasks=listed,
        format=_format("match", compat, style),
    )
    payload = _facts(annotation) | {
        "steps": _step_rows(annotation.steps, 0),
        "tasks": [{"task": task.goal, "steps": list(task.steps)} for task in tasks],
    }
    return _plain_prompt("match", user, schemas.match_shape(len(tasks)), payload, compat, style)


def label_prompt(scene: Scene) -> Prompt:
    """Ask whether a recording shows what it is said to show."""
    annotation = scene.annotation
    user = scene.style.texts.fill(
        "label",
        domain=annotation.domain,
        description=render_description(annotation, scene.compat),
        goal=scene.knowledge.goal,
        knowledge_type=annotation.knowledge_type,
        knowledge=scene.knowledge.render(),
        format=_format("label", scene.compat, scene.style),
    )
    payload = _facts(annotation) | {"steps": _step_rows(annotation.steps, 0)}
    return _plain_prompt("label", user, schemas.label_shape(), payload, scene.compat, scene.style)


def dialog_prompt(scene: Scene, clip: Clip, speaker: Speaker, history: Sequence[Turn], max_history: int) -> Prompt:
    """Ask for the turns of one window; ``history`` is what the conversation holds so far."""
    annotation, texts, limits = scene.annotation, scene.style.texts, scene.style.limits
    shown = texts.fill("block.history", history=render_history(history, max_history)) if history else ""
    known = texts.fill("block.knowledge", knowledge_type=annotation.knowledge_type, knowledge=scene.knowledge.render())
    user = texts.fill(
        "dialog",
        goal=scene.knowledge.goal,
        description=clip.text,
        knowledge_block="" if scene.compat else known,
        guidance=_guidance(scene),
        user_behaviour=texts.fill(f"user_behaviour.{speaker.user_type}"),
        history_block=shown,
        start=f"{clip.start_s:.1f}",
        end=f"{clip.end_s:.1f}",
        format=_format("dialog", scene.compat, scene.style),
    )
    head, tail = cut_history(history, max_history)
    payload = _facts(annotation) | {
        "goal": scene.knowledge.goal,
        "user_type": speaker.user_type,
        "conversation": speaker.index,
        "guidance": scene.guidance,
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "is_first": clip.first_step == 0,
        "is_last": clip.last_step == len(annotation.steps),
        "steps": _step_rows(annotation.steps[clip.first_step : clip.last_step], clip.first_step),
        "history": [_turn_row(turn) for turn in [*head, *tail]],
    }
    if not scene.compat:
        payload |= {"max_turns": limits.max_turns, "max_turn_chars": limits.max_turn_chars}
    schema = schemas.dialog_schema(window_of(clip), limits)
    return _prompt("dialog", "writer", user, schemas.dialog_shape(limits), schema, payload, scene.compat, scene.style)


def window_of(clip: Clip) -> Window:
    """Where the turns of a generation window may lie."""
    return Window(clip.start_s, clip.end_s, is_first=clip.first_step == 0)


def refine_prompt(scene: Scene, clip: Clip, speaker: Speaker, turns: Sequence[Turn]) -> Prompt:
    """Ask for better wording and labels; times and user turns must stay."""
    user = scene.style.texts.fill(
        "refine", dialog=render_turns(turns), format=_format("refine", scene.compat, scene.style)
    )
    payload = _facts(scene.annotation) | {
        "user_type": speaker.user_type,
        "conversation": speaker.index,
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "is_first": clip.first_step == 0,
        "turns": [_turn_row(turn) for turn in turns],
    }
    # The reference has its summarising persona edit as well.
    system = "summary" if scene.compat else "editor"
    limits = scene.style.limits
    shape, schema = schemas.refine_shape(limits), schemas.refine_schema(turns, limits)
    return _prompt("refine", system, user, shape, schema, payload, scene.compat, scene.style)


def summary_prompt(scene: Scene, speaker: Speaker, turns: Sequence[Turn]) -> Prompt:
    """Ask where the task stands after the last of ``turns``, an assistant turn."""
    user = scene.style.texts.fill(
        "summary", dialog=render_turns(turns), format=_format("summary", scene.compat, scene.style)
    )
    payload = _facts(scene.annotation) | {
        "goal": scene.knowledge.goal,
        "user_type": speaker.user_type,
        "num_turns": len(turns),
        "num_assistant_turns": sum(not turn.is_user for turn in turns),
        "num_user_turns": sum(turn.is_user for turn in turns),
        "recent": [_turn_row(turn) for turn in turns[-NUM_RECENT_TURNS:]],
    }
    shape = schemas.summary_shape()
    schema = schemas.with_letters(shape)
    return _prompt("summary", "summary", user, shape, schema, payload, scene.compat, scene.style)


def _guidance(scene: Scene) -> str:
    is_needed = scene.annotation.has_mistake or scene.guidance not in templates.ONLY_WITH_MISTAKES
    return scene.style.texts.fill(f"guidance.{scene.guidance}") if is_needed else ""


def _form(kind: PromptKind, compat: bool, style: Style) -> Form:
    return "lines" if compat and kind in _LINES_OF_REFERENCE else style.form


def _format(kind: PromptKind, compat: bool, style: Style) -> str:
    return style.texts.fill(f"{_form(kind, compat, style)}.{kind}")


def _plain_prompt(
    kind: PromptKind, user: str, shape: dict[str, Any], payload: dict[str, Any], compat: bool, style: Style
) -> Prompt:
    schema = shape if compat else schemas.with_letters(shape)
    return _prompt(kind, "plain", user, shape, schema, payload, compat, style)


def _prompt(
    kind: PromptKind,
    system: str,
    user: str,
    shape: dict[str, Any],
    schema: dict[str, Any],
    payload: dict[str, Any],
    compat: bool,
    style: Style,
) -> Prompt:
    is_unchecked = compat and kind in _LINES_OF_REFERENCE
    return Prompt(
        kind,
        style.texts.template_of(kind),
        style.texts.fill(f"system.{system}"),
        user,
        schema if _form(kind, compat, style) == "json" else None,
        payload,
        None if is_unchecked else shape,
    )


def _facts(annotation: Annotation) -> dict[str, Any]:
    return {
        "domain": annotation.domain,
        "knowledge_type": annotation.knowledge_type,
        "goal": annotation.goal,
    }


def _turn_row(turn: Turn) -> dict[str, Any]:
    return {"time": turn.time_s, "role": turn.role, "text": turn.content, "labels": turn.labels}


def _step_rows(steps: Sequence[Step], first: int) -> list[dict[str, Any]]:
    return [
        {
            "index": first + offset,
            "start_s": step.start_s,
            "end_s": step.end_s,
            "text": step.text,
            "note": step.note,
            "is_marker": step.is_marker,
            "substeps": [
                {"start_s": s.start_s, "end_s": s.end_s, "text": s.text, "role": s.role, "note": s.note}
                for s in step.substeps
            ],
        }
        for offset, step in enumerate(steps)
    ]
