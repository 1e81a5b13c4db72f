"""Wording of all prompts. Raise a template's version in ``VERSIONS`` whenever its text changes.

Texts are ``string.Template``: ``$name`` is filled in by ``mmassist.dialog.prompts``, ``$$`` is a dollar sign. ``TEXTS``
holds them all by the names under which a prompt set of one's own (``mmassist.dialog.promptset``) replaces them.
"""

from __future__ import annotations

VERSIONS = {"goal": 1, "consolidate": 1, "match": 1, "label": 1, "dialog": 1, "refine": 2, "summary": 1}

PLAIN_SYSTEM = "You are a careful, knowledgeable assistant. You answer exactly in the form that is asked for."
WRITER_SYSTEM = (
    "You write realistic spoken conversations between a person who carries out a task and an assistant who watches "
    "through the person's glasses and guides them, live. You keep strictly to the given timeline."
)
EDITOR_SYSTEM = "You are an editor of spoken dialog: you polish wording and classify what is said, and invent nothing."
SUMMARY_SYSTEM = "You keep track of where a guided task stands and report it faithfully in one compact sentence."

GOAL = """\
Below is a timed record of what a person does in a video. The person's aim: $goal.

$description
Some recorded actions may be mistakes, repetitions or have nothing to do with the aim.
Write down the $knowledge_type that this record shows: the main steps, in the order in which they have to be done, using
only what the record contains. Give it a task name that tells somebody who has not seen the video what is being done.
$format"""

GOAL_JSON_FORMAT = 'Answer as a JSON object with "task" (the name) and "steps" (one text per step, without numbers).'
KNOWLEDGE_LINE_FORMAT = (
    "Write the task's name on the first line, then one line per step (1. ..., 2. ..., and so on), and nothing else."
)

CONSOLIDATE = """\
Several people wrote down the same $knowledge_type from one video. Their versions:

$candidates
Combine them into a single version that is correct and complete, in the right order, without duplicates. $format"""

CONSOLIDATE_JSON_FORMAT = (
    'Answer as a\nJSON object with "task" (the task\'s name) and "steps" (one text per step, without numbers).'
)

MATCH = """\
Below is a timed record of what a person does in a video.

$description
One of these tasks is being carried out:

$tasks
Decide which one. $format"""

MATCH_JSON_FORMAT = 'Answer as a JSON object with "reason" (your considerations) and "task" (the task\'s number).'
MATCH_LINE_FORMAT = "Say what speaks for it, then write a last line of this form:\nANSWER: <the task's number>"

LABEL = """\
Below is a timed record of a video that is meant to show an activity of the domain "$domain".

$description
The aim is said to be: $goal. The $knowledge_type is said to be:
$knowledge

Classify the video: 1 if what happens follows the $knowledge_type at least loosely; 2 if several tasks, or several
attempts at the same task, are mixed; 0 if it does not belong to the domain. $format"""

LABEL_JSON_FORMAT = 'Answer as a JSON object with "reason" (your\nconsiderations) and "label" (0, 1 or 2).'
LABEL_LINE_FORMAT = "Say what speaks for it, then write a last line of this form:\nFINAL ANSWER: <0, 1 or 2>"

DIALOG = """\
A person pursues this aim: $goal.
What happens, with times in seconds (indented lines are details of the step above them):

$description
${knowledge_block}\
Write the conversation in which the person acts as they do *because* the assistant guides them. The person begins by
saying what they want to achieve. The assistant gives each next step on its own, at the moment it is due and before
being asked; it may first say in a sentence what lies ahead.
$guidance
The assistant
- stays strictly on the timeline: what it says fits what happens at that very moment;
- covers every essential step;
- when a question comes just as a new step is due, answers it and gives the step in one turn;
- stays friendly and patient, also when something is asked again, and encourages now and then;
- speaks briefly and naturally, as one does aloud, and never asks the person to do something in its own place.

The person $user_behaviour

Times: leave at least one second between turns and join what would be closer. Only the answer to the person comes at
once, with the time of the person's turn.
${history_block}\
Write the turns from $start s to $end s, both included, and nothing outside of that interval.
$format"""

DIALOG_JSON_FORMAT = (
    'Answer as a JSON object with "turns": a list in order of time, each with "time" (seconds), "role" ("user" or '
    '"assistant") and "text".'
)
DIALOG_LINE_FORMAT = (
    "Write one line per turn, in this form and nothing else:\n[TIMEs] User: ...\n[TIMEs] Assistant: ..."
)

HISTORY = """\
These turns exist already; continue them and do not repeat them:
$history
"""

KNOWLEDGE = """\
The $knowledge_type the assistant knows:
$knowledge

"""

# The stretch comes last: what stands before it is the same in every request, and engines cache it.
REFINE = """\
Edit a stretch of a conversation and classify the assistant's turns.

Editing:
- join turns that lie less than a second apart and belong together, and otherwise keep every turn with its speaker and
  its time;
- use pronouns and references where a speaker would;
- choose a sensible length for each turn, short unless more is needed;
- vary the wording;
- reword whatever sounds impolite;
- take out whatever nobody would say aloud.
Do not merely copy the text.

For each assistant turn:
- initiative: "initiative" if the assistant speaks unasked, "responsive" if it reacts to what the person said;
- intents, all that apply: "instruction" (what to do next), "correction" (something went wrong, or should be done
  differently), "info_sharing" (explanations, facts, tips), "feedback" (praise, or how it could be better), else
  "other".
$format

The stretch:

$dialog"""

REFINE_JSON_FORMAT = (
    'Answer as a JSON object with "turns": a list in order of time, each with "time", "role", "text", "initiative" and '
    '"intents"; user turns get the initiative "none" and an empty list of intents.'
)
REFINE_LINE_FORMAT = (
    "Write one line per turn and nothing else, assistant turns with their classes behind them:\n"
    "[TIMEs] User: ...\n[TIMEs] Assistant: ... [initiative|intent,intent]"
)

# The growing conversation comes first: requests of one conversation share it as a prefix, which engines cache.
SUMMARY = """\
A conversation between a person at work and an assistant:

$dialog

Say in one sentence, true to the conversation: the aim the person stated, what has been done so far, what else came up,
and which step is current.
$format"""

SUMMARY_JSON_FORMAT = 'Answer as a JSON object with "summary".'
SUMMARY_LINE_FORMAT = "Write a single line that begins with SUMMARY:"

USER_BEHAVIOUR = {
    "no_talk": "says nothing at all after stating the aim, and silently does what the assistant says.",
    "talk_some": "now and then asks a question or has something confirmed, at about one step in five.",
    "talk_more": "is talkative: asks and remarks things, about the task and beside it, at about two steps in five.",
}

ONLY_WITH_MISTAKES = frozenset({"assembly101", "captaincook4d"})  # guidance that says nothing where nothing went wrong
GUIDANCE = {  # what the annotations of a source need on top; another source may choose the closest one
    "none": "",
    "wtag": """\
The record contains what was really said. Build on it: keep what was talked about and when, but reword it into fluent,
natural speech. Enrich long steps with feedback or a question. Answer every question of the person, also those that got
no answer in reality.
""",
    "holoassist": """\
The record contains what was really said. Build on it: keep what was talked about and when, but reword it into coherent,
natural speech. You may add a few turns around essential steps, about what is to be achieved and not about every single
movement; do not overwhelm the person.
""",
    "egoexolearn": """\
Keep to the key steps instead of commenting on every movement, and be coherent and helpful.
""",
    "epickitchens": """\
Keep to the key steps instead of commenting on every movement, and be coherent and helpful. The person may do needless
or wrong things: never instruct those, and choose good moments to speak.
""",
    "captaincook4d": """\
A remark in brackets behind an action says what the person did wrong. The assistant instructs the step as it should be
done, never the error; once the error has happened, it points it out and says how to put it right.
""",
    "assembly101": """\
Remarks in brackets mark mistakes. Never instruct an action marked as in the wrong order, as following from an earlier
mistake, or as one that should not have happened: give the nearest later correct step instead. When a correction begins,
point out the earlier mistake and how to undo it. An action in a wrong position may be instructed, but the mistake is
pointed out when it is corrected.
""",
}

TEXTS = {
    "system.plain": PLAIN_SYSTEM,
    "system.writer": WRITER_SYSTEM,
    "system.editor": EDITOR_SYSTEM,
    "system.summary": SUMMARY_SYSTEM,
    "goal": GOAL,
    "consolidate": CONSOLIDATE,
    "match": MATCH,
    "label": LABEL,
    "dialog": DIALOG,
    "refine": REFINE,
    "summary": SUMMARY,
    "block.history": HISTORY,
    "block.knowledge": KNOWLEDGE,
    "json.goal": GOAL_JSON_FORMAT,
    "json.consolidate": CONSOLIDATE_JSON_FORMAT,
    "json.match": MATCH_JSON_FORMAT,
    "json.label": LABEL_JSON_FORMAT,
    "json.dialog": DIALOG_JSON_FORMAT,
    "json.refine": REFINE_JSON_FORMAT,
    "json.summary": SUMMARY_JSON_FORMAT,
    "lines.goal": KNOWLEDGE_LINE_FORMAT,
    "lines.consolidate": KNOWLEDGE_LINE_FORMAT,
    "lines.match": MATCH_LINE_FORMAT,
    "lines.label": LABEL_LINE_FORMAT,
    "lines.dialog": DIALOG_LINE_FORMAT,
    "lines.refine": REFINE_LINE_FORMAT,
    "lines.summary": SUMMARY_LINE_FORMAT,
    **{f"user_behaviour.{name}": text for name, text in USER_BEHAVIOUR.items()},
    **{f"guidance.{name}": text for name, text in GUIDANCE.items()},
}
