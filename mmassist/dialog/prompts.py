"""One function per kind of request: typed facts in, a prompt with its schema and payload out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Template
from typing import Any, Literal

from mmassist.core.annotation import Annotation, Step
from mmassist.dialog import schemas, templates
from mmassist.dialog.annotation import Clip, render_description
from mmassist.dialog.knowledge import Knowledge
from mmassist.dialog.turn import Turn, cut_history, render_history, render_turns

PromptKind = Literal["goal", "consolidate", "match", "label", "dialog", "refine", "summary"]

NUM_RECENT_TURNS = 6  # of a summary's payload; the prompt itself holds the whole conversation


@dataclass(frozen=True)
class Prompt:
    """What is to be asked, without any word about sampling. ``schema`` None asks for plain text."""

    kind: PromptKind
    template: str
    system: str
    user: str
    schema: dict[str, Any] | None
    payload: dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """What stays the same over all windows and conversations of a recording."""

    annotation: Annotation
    knowledge: Knowledge
    guidance: str = "none"
    compat: bool = False


@dataclass(frozen=True)
class Speaker:
    """One of the simulated users; ``index`` is the conversation's place in the record."""

    index: int
    user_type: str


def goal_prompt(annotation: Annotation, compat: bool) -> Prompt:
    """Ask for the task's name and its procedure, as far as the recording shows it."""
    user = Template(templates.GOAL).substitute(
        goal=annotation.goal or "a task that has to be found out",
        description=render_description(annotation, compat),
        knowledge_type=annotation.knowledge_type,
    )
    payload = _facts(annotation) | {"steps": _step_rows(annotation.steps, 0)}
    return _prompt("goal", templates.PLAIN_SYSTEM, user, schemas.goal_schema(), payload)


def consolidate_prompt(annotation: Annotation, candidates: Sequence[Knowledge]) -> Prompt:
    """Ask for one version in the place of several."""
    listed = [
        f"{annotation.knowledge_type.capitalize()} {number}\n{candidate.render()}\n"
        for number, candidate in enumerate(candidates, start=1)
    ]
    user = Template(templates.CONSOLIDATE).substitute(
        knowledge_type=annotation.knowledge_type, candidates="\n".join(listed)
    )
    payload = _facts(annotation) | {"candidates": [{"task": c.goal, "steps": list(c.steps)} for c in candidates]}
    return _prompt("consolidate", templates.PLAIN_SYSTEM, user, schemas.goal_schema(), payload)


def match_prompt(annotation: Annotation, tasks: Sequence[Knowledge], compat: bool) -> Prompt:
    """Ask which of some known tasks a recording shows; the answer counts from 1."""
    listed = "\n\n".join(f"Task {number}: {task.render()}" for number, task in enumerate(tasks, start=1))
    user = Template(templates.MATCH).substitute(description=render_description(annotation, compat), tasks=listed)
    payload = _facts(annotation) | {
        "steps": _step_rows(annotation.steps, 0),
        "tasks": [{"task": task.goal, "steps": list(task.steps)} for task in tasks],
    }
    return _prompt("match", templates.PLAIN_SYSTEM, user, schemas.match_schema(len(tasks)), payload)


def label_prompt(scene: Scene) -> Prompt:
    """Ask whether a recording shows what it is said to show."""
    annotation = scene.annotation
    user = Template(templates.LABEL).substitute(
        domain=annotation.domain,
        description=render_description(annotation, scene.compat),
        goal=scene.knowledge.goal,
        knowledge_type=annotation.knowledge_type,
        knowledge=scene.knowledge.render(),
    )
    payload = _facts(annotation) | {"steps": _step_rows(annotation.steps, 0)}
    return _prompt("label", templates.PLAIN_SYSTEM, user, schemas.label_schema(), payload)


def dialog_prompt(scene: Scene, clip: Clip, speaker: Speaker, history: Sequence[Turn], max_history: int) -> Prompt:
    """Ask for the turns of one window; ``history`` is what the conversation holds so far."""
    annotation = scene.annotation
    is_last = clip.last_step == len(annotation.steps)
    shown = Template(templates.HISTORY).substitute(history=render_history(history, max_history)) if history else ""
    known = Template(templates.KNOWLEDGE).substitute(
        knowledge_type=annotation.knowledge_type, knowledge=scene.knowledge.render()
    )
    user = Template(templates.DIALOG).substitute(
        goal=scene.knowledge.goal,
        description=clip.text,
        knowledge_block="" if scene.compat else known,
        guidance=_guidance(scene),
        user_behaviour=templates.USER_BEHAVIOUR[speaker.user_type],
        history_block=shown,
        start=f"{clip.start_s:.1f}",
        end=f"{clip.end_s:.1f}",
        format=templates.DIALOG_LINE_FORMAT if scene.compat else templates.DIALOG_JSON_FORMAT,
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
        "is_last": is_last,
        "steps": _step_rows(annotation.steps[clip.first_step : clip.last_step], clip.first_step),
        "history": [_turn_row(turn) for turn in [*head, *tail]],
    }
    schema = None if scene.compat else schemas.dialog_schema()
    return _prompt("dialog", templates.WRITER_SYSTEM, user, schema, payload)


def _guidance(scene: Scene) -> str:
    is_needed = scene.annotation.has_mistake or scene.guidance not in templates.ONLY_WITH_MISTAKES
    return templates.GUIDANCE[scene.guidance] if is_needed else ""


def refine_prompt(scene: Scene, clip: Clip, speaker: Speaker, turns: Sequence[Turn]) -> Prompt:
    """Ask for better wording and labels; times and user turns must stay."""
    user = Template(templates.REFINE).substitute(
        dialog=render_turns(turns),
        format=templates.REFINE_LINE_FORMAT if scene.compat else templates.REFINE_JSON_FORMAT,
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
    system = templates.SUMMARY_SYSTEM if scene.compat else templates.EDITOR_SYSTEM
    return _prompt("refine", system, user, None if scene.compat else schemas.refine_schema(), payload)


def summary_prompt(scene: Scene, speaker: Speaker, turns: Sequence[Turn]) -> Prompt:
    """Ask where the task stands after the last of ``turns``, an assistant turn."""
    user = Template(templates.SUMMARY).substitute(
        dialog=render_turns(turns),
        format=templates.SUMMARY_LINE_FORMAT if scene.compat else templates.SUMMARY_JSON_FORMAT,
    )
    payload = _facts(scene.annotation) | {
        "goal": scene.knowledge.goal,
        "user_type": speaker.user_type,
        "num_turns": len(turns),
        "num_assistant_turns": sum(not turn.is_user for turn in turns),
        "num_user_turns": sum(turn.is_user for turn in turns),
        "recent": [_turn_row(turn) for turn in turns[-NUM_RECENT_TURNS:]],
    }
    schema = None if scene.compat else schemas.summary_schema()
    return _prompt("summary", templates.SUMMARY_SYSTEM, user, schema, payload)


def _prompt(kind: PromptKind, system: str, user: str, schema: dict[str, Any] | None, payload: dict[str, Any]) -> Prompt:
    return Prompt(kind, f"{kind}/{templates.VERSIONS[kind]}", system, user, schema, payload)


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
