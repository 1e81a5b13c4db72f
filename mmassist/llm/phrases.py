"""The scripted engine's stock of sentences, and how its own sentences are recognised when they are to be labelled.

``{step}`` is an action as an order (``pour the water``), ``{goal}`` a task's name, ``{why}`` what went wrong.
"""

from __future__ import annotations

import re

GOAL = (
    "Hi, I would like to do this today: {goal}.",
    "My plan is this: {goal}. Can you help me with it?",
    "I want to get this done: {goal}.",
    "Let's do this together: {goal}.",
)
GREETING = (
    "Happy to help, I will take you through it in good time.",
    "Good choice. I will take you through it one step at a time.",
    "Sure, I am watching along and will speak up in good time.",
)
FIRST = ("Gladly. Start by this: {step}.", "Good, let's begin: {step}.", "Sure. To begin with, {step}.")
NEXT = (
    "Next, {step}.",
    "Now {step}.",
    "Now it is time to {step}.",
    "Go ahead and {step}.",
    "Please {step}.",
)
ALSO = (" Right after that, {step}.", " Then {step}.")
UNDO = ("Let's put that right: {step}.", "To correct the earlier slip, {step}.")
CORRECTION = (
    "Careful, that is not quite right: {why}. Please do it over.",
    "Hold on, something went wrong there: {why}. Let's put that right.",
    "One correction: {why}. Try it once more.",
)
PRAISE = ("Well done.", "Nice work.", "That looks good.", "Great, that is done.")
CLOSING = (
    "Well done, that was the last step.",
    "Great, that completes it. Nice work all through.",
    "That looks good, we are finished.",
)
TIP = (
    "A tip: along the way you will {step}.",
    "Worth knowing: this part means that you {step}.",
    "Keep in mind that you will also {step}.",
)
CARRY_ON = ("Just carry on like this.", "Keep going, this is going fine.")

# Question and answer; the answer may name the step.
QUESTIONS = (
    ("Am I doing this right?", "Yes, that looks good. Keep going: {step}."),
    ("So I should {step}, correct?", "Exactly, {step}."),
    ("Could you say that step again?", "Of course: {step}."),
    ("Is there anything to watch out for here?", "Worth knowing: take your time and keep a steady hand."),
    ("How long will this take?", "Worth knowing: not long, it is done when you can see that it is."),
)
CHATTY_QUESTIONS = (
    ("Do other people find this bit tricky too?", "Many do, you are in good company."),
    ("What would you do afterwards, have a coffee?", "That sounds tempting, but first: {step}."),
    ("Is it fine if I hum while I work?", "By all means, it does not disturb me."),
)
REMARKS = (
    ("Okay, I think I have got it.", "Great, that looks good from here."),
    ("I am on it.", "Well done, keep that pace."),
)

DIALOG_RATIONALE = (
    "Rated by rule. {to_the_point} of {told} turns of the assistant use words of the record; {covered} of {steps} "
    "steps have a turn close by and {answered} of {asked} questions an answer; steps and turns lie {late} s apart on "
    "average; {various} turns are worded differently."
)
GOAL_RATIONALE = (
    "Rated by rule. {aim} of {words} words of the aim are in the record, and {found} of {lines} steps of the procedure "
    "have a word in common with it."
)

OPENERS = (
    ("Next, ", "Now "),
    ("Now it is time to ", "Now please "),
    ("Please ", "Now please "),
    ("Nice work.", "Lovely."),
)

MAX_CHARS = 400  # of an order or an utterance

_CUES = {
    "correction": r"not quite right|went wrong|correction|put that right|to correct|should be using|instead",
    "feedback": r"well done|nice work|lovely|looks good|great|good job|exactly|completes it|keep going|that's right",
    "info_sharing": r"\btip\b|worth knowing|keep in mind|many do|because|take you through",
    "instruction": r"\bnext\b|\bnow\b|go ahead|please|start by|begin|right after|\bthen\b|of course:|first:|do it over"
    r"|you should|you want to|make sure|let's|keep going:",
}


def find_intents(text: str) -> list[str]:
    """Intents that the wording shows, ``other`` when it shows none."""
    lowered = text.lower()
    return [intent for intent, cue in _CUES.items() if re.search(cue, lowered)] or ["other"]


def as_order(text: str) -> str:
    """``The user attaches the arm.`` -> ``attach the arm``; at most MAX_CHARS characters."""
    text = " ".join(text.split()).rstrip(" .!")
    match = re.match(r"(?:the\s+)?(?:user|student|person|he|she|they|c)\s+(\S+)(.*)", text, re.IGNORECASE | re.DOTALL)
    if match:
        text = f"{_base_form(match[1])}{match[2]}"
    if not text:
        return "carry on"
    if len(text) < 2 or not text[1].isupper():  # leave abbreviations alone
        text = text[0].lower() + text[1:]
    return cut(text)


def as_speech(text: str) -> str:
    """An utterance as it was transcribed, tidied up: no remarks in front, one blank between words, a capital, an end.

    Longer ones are cut to MAX_CHARS; empty when nothing but remarks was transcribed.
    """
    text = " ".join(strip_remarks(text).split())
    if not text:
        return ""
    text = re.sub(r"\s+([,.?!])", r"\1", text)
    text = text[:1].upper() + text[1:]
    end = text[-1] if text.endswith((".", "!", "?")) else "."
    if len(text) > MAX_CHARS:
        return cut(text).rstrip(" ,.;:!?") + end
    return text if text.endswith(end) else f"{text}{end}"


def strip_remarks(text: str) -> str:
    """``(laughs) put it there`` -> ``put it there``: what transcribers note in front of the words was not said."""
    return re.sub(r"^\s*(?:\([^)]*\)[\s,.;:!?-]*)+", "", text)


def cut(text: str, limit: int = MAX_CHARS) -> str:
    """At most ``limit`` characters, whole words where there are any."""
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0]


def _base_form(verb: str) -> str:
    for ending, base in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("oes", "o")):
        if verb.endswith(ending):
            return verb[: -len(ending)] + base
    return verb[:-1] if verb.endswith("s") and not verb.endswith("ss") else verb
