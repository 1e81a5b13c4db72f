"""How a model is asked to rate dialogs: criteria with what each number means, wording, schemas and prompts.

Nothing is compared with another dialog; the annotation is what a dialog is held against. The four criteria of a dialog
and the two of a record are those by which people rated the dialogs of the ProAssist paper. Raise a template's version
in ``VERSIONS`` whenever its text changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

from mmassist.dialog.prompts import Prompt
from mmassist.dialog.record import Conversation
from mmassist.dialog.score import annotation_times
from mmassist.dialog.turn import render_turns

VERSIONS = {"rate": 1, "rate_goal": 1}
LOWEST, HIGHEST = 1, 5
MAX_RATIONALE_CHARS = 2000
RATIONALE = "rationale"  # the field in front of the numbers, so that a model thinks before it commits itself


@dataclass(frozen=True)
class Criterion:
    """``anchors`` say what the numbers mean, from LOWEST to HIGHEST."""

    name: str
    question: str
    anchors: tuple[str, str, str, str, str]

    def render(self) -> str:
        """The question, and a line for each number."""
        lines = [f"  {number} = {anchor}" for number, anchor in enumerate(self.anchors, start=LOWEST)]
        return "\n".join([f"{self.name}: {self.question}", *lines])


DIALOG_CRITERIA = (
    Criterion(
        "correctness",
        "is what the assistant says true to the record, to the procedure, and to what was said before?",
        (
            "nearly everything is wrong, invented or contradicts itself",
            "more is wrong than right",
            "right and wrong about balance, or one wrong instruction that would spoil the task",
            "right but for slips without consequences",
            "nothing wrong could be found",
        ),
    ),
    Criterion(
        "helpfulness",
        "could the person reach the aim with this guidance, and do questions and mistakes get a useful reaction?",
        (
            "no use, or in the way",
            "some use, but most steps, questions or mistakes are passed over",
            "about half of what the person needs is there",
            "nearly all that is needed is there, with small gaps or some needless talk",
            "every important step, question and mistake is taken up, and nothing needless is said",
        ),
    ),
    Criterion(
        "alignment",
        "does each turn fit what happens at its very time, instructions just before their step and remarks just after?",
        (
            "the times have nothing to do with what happens",
            "most turns come clearly too early or too late",
            "about half of the turns come at a fitting time",
            "most do, and the others miss by a few seconds",
            "practically every turn comes when it is due",
        ),
    ),
    Criterion(
        "naturalness",
        "would two people talk like this while one of them works? How much the person talks was laid down and is no "
        "fault.",
        (
            "nobody talks like this",
            "mostly stiff, repetitive or long-winded",
            "stiff and natural passages about balance",
            "natural but for a few turns",
            "natural all through",
        ),
    ),
)

RECORD_CRITERIA = (
    Criterion(
        "goal_accuracy",
        "does the stated aim name what the record shows?",
        (
            "another activity",
            "the same field, but another task",
            "the right task, but so vague or so mixed up that it would mislead",
            "the right task with a small inaccuracy",
            "just this task, as specific as the record allows",
        ),
    ),
    Criterion(
        "knowledge_accuracy",
        "does the stated procedure hold the main steps of the record, in their order, without additions or mistakes?",
        (
            "hardly any step agrees with the record",
            "more steps are missing, invented or misplaced than right",
            "about half of it is right",
            "complete but for a minor step, a detail or a place in the order",
            "every main step, in order, and nothing that the record does not show",
        ),
    ),
)

SYSTEM = (
    "You are an exacting reviewer of spoken guidance. You read everything before you judge, use the whole scale, and "
    "give your reasons before your numbers."
)

# The record comes first: requests about one recording share it as a prefix, which engines cache.
SHOWN = """\
Timed record of what a person does in a video, in seconds (indented lines are details of the step above them; remarks
in brackets behind an action say what went wrong with it):

$description
The person's aim is said to be: $goal
The $knowledge_type is said to be:
$knowledge

"""

RATE = """\
In the following conversation an assistant guides this person, live, watching through the person's own glasses. It
begins with the person's aim. Each line has its time on the clock of the record; nothing else was said.

$dialog

Rate the conversation as a whole by four criteria, each with a whole number from 1 to 5, independently of each other:

$criteria

$format"""

RATE_GOAL = """\
${given}\
Aim and $knowledge_type were derived from the record. Rate them against it, each with a whole number from 1 to 5:

$criteria

$format"""

GIVEN = "The source of the video calls the task: $goal\n"

JSON_FORMAT = (
    'Answer as a JSON object with "rationale" (what decided, with times or words quoted, for each criterion), and '
    "behind it $names as whole numbers from 1 to 5."
)
LINE_FORMAT = (
    "Answer in lines of this form and nothing else, the rationale (what decided, for each criterion) first, and whole "
    "numbers from 1 to 5 in the place of n:\nrationale: ...\n$lines"
)


def rating_schema(criteria: Sequence[Criterion]) -> dict[str, Any]:
    """A closed object: the rationale, then one number per criterion."""
    number = {"type": "integer", "enum": list(range(LOWEST, HIGHEST + 1))}
    text = {"type": "string", "minLength": 1, "maxLength": MAX_RATIONALE_CHARS}
    properties: dict[str, Any] = {RATIONALE: text, **{criterion.name: number for criterion in criteria}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def dialog_prompt(record: Mapping[str, Any], conversation: Conversation, index: int, has_schemas: bool) -> Prompt:
    """Ask for the four numbers of one conversation; all of it is shown, and all of the annotation.

    ``record`` is one of ``mmassist.dialog.record.read_record``, ``index`` the conversation's place in it.
    """
    user = _shown(record) + Template(RATE).substitute(
        dialog=render_turns(conversation.turns),
        criteria=_render(DIALOG_CRITERIA),
        format=_format(DIALOG_CRITERIA, has_schemas),
    )
    rows = [{"time": turn.time_s, "role": turn.role, "text": turn.content} for turn in conversation.turns]
    payload = _facts(record) | {"conversation": index, "user_type": conversation.user_type, "turns": rows}
    schema = rating_schema(DIALOG_CRITERIA) if has_schemas else None
    return Prompt("rate", f"rate/{VERSIONS['rate']}", SYSTEM, user, schema, payload)


def goal_prompt(record: Mapping[str, Any], has_schemas: bool) -> Prompt:
    """Ask for the two numbers of a record: its aim and its procedure, against the annotation."""
    given = record["parsed_video_anns"].get("goal_description") or ""
    user = _shown(record) + Template(RATE_GOAL).substitute(
        given=Template(GIVEN).substitute(goal=given) if given else "",
        knowledge_type=_knowledge_type(record),
        criteria=_render(RECORD_CRITERIA),
        format=_format(RECORD_CRITERIA, has_schemas),
    )
    schema = rating_schema(RECORD_CRITERIA) if has_schemas else None
    payload = _facts(record) | {"given_goal": given}
    return Prompt("rate_goal", f"rate_goal/{VERSIONS['rate_goal']}", SYSTEM, user, schema, payload)


def _shown(record: Mapping[str, Any]) -> str:
    return Template(SHOWN).substitute(
        description=record["parsed_video_anns"]["all_step_descriptions"],
        goal=record.get("inferred_goal") or "not known",
        knowledge_type=_knowledge_type(record),
        knowledge=record.get("inferred_knowledge") or "not known",
    )


def _knowledge_type(record: Mapping[str, Any]) -> str:
    return str(record["parsed_video_anns"].get("knowledge_type") or "procedure")


def _render(criteria: Sequence[Criterion]) -> str:
    return "\n\n".join(criterion.render() for criterion in criteria)


def _format(criteria: Sequence[Criterion], has_schemas: bool) -> str:
    names = [criterion.name for criterion in criteria]
    if has_schemas:
        quoted = [f'"{name}"' for name in names]
        return Template(JSON_FORMAT).substitute(names=f"{', '.join(quoted[:-1])} and {quoted[-1]}")
    return Template(LINE_FORMAT).substitute(lines="\n".join(f"{name}: n" for name in names))


def _facts(record: Mapping[str, Any]) -> dict[str, Any]:
    description = record["parsed_video_anns"]["all_step_descriptions"]
    steps = "\n".join(line for line in description.splitlines() if not line.startswith(" "))
    _, starts = annotation_times(steps, compat=False)
    return {
        "description": description,
        "step_starts": starts,
        "goal": record.get("inferred_goal") or "",
        "knowledge": record.get("inferred_knowledge") or "",
    }
