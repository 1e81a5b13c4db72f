"""HoloAssist's event records, decoded one by one; a bad record is left out with a reason and costs nothing else.

Formats and attribute names follow the publisher's annotation page (https://holoassist.github.io) and the released
``data-annotation-trainval-v1_1.json``, which says ``student`` where the page says "task performer".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mmassist.core.item import Drop
from mmassist.datasets.source import record_digest, unordered_digest
from mmassist.datasets.span import fit_span, read_number


class EventKind(StrEnum):
    """Told by the attribute that is present, never by ``label``."""

    NARRATION = "Long form description"
    STEP = "Action sentence"
    UTTERANCE = "Conversation Purpose"
    ACTION = "Action Correctness"


@dataclass(frozen=True)
class Event:
    """A decoded record. An utterance stands at the middle of its interval."""

    kind: EventKind
    start_s: float
    end_s: float
    text: str
    note: str = ""
    role: str | None = None
    record: str = ""  # id in the source, for drops

    @property
    def order(self) -> tuple[Any, ...]:
        """Time first; at equal times a coarse action comes before what it contains. Free of the file's order."""
        kind = self.kind.value
        return (self.start_s, self.kind is not EventKind.STEP, self.end_s, kind, self.text, self.note, self.role or "")


_ROLES = {"student": "user", "task performer": "user", "instructor": "assistant"}
_ABSENT = {"", "none", "null", "nan"}  # the source writes the word where a value is missing
_PLAIN_ADJECTIVES = {"none", "wrong", ""}


_NAMES = (*EventKind, "Transcription", "Incorrect Action Explanation", "Verb", "Adjective", "Noun")


def events_digest(records: Any, compat: bool) -> str:
    """Digest of what is read of the events; their order counts for the reference's rules only."""
    facts = [_facts(record) for record in records]
    return record_digest(facts) if compat else unordered_digest(facts)


def _facts(record: Any) -> Any:
    attributes = record.get("attributes") if isinstance(record, dict) else None
    if not isinstance(attributes, dict):
        return _name(record)
    told = [[str(name), attributes[name]] for name in _NAMES if name in attributes]
    return [record.get(name) for name in ("id", "start", "end")], told


def _name(record: Any) -> str:
    """A record by its id, "" without a proper one."""
    value = record.get("id") if isinstance(record, dict) else None
    name = " ".join(str(value).split()) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    return f"event {name}" if name else ""


def clean_text(value: Any) -> str:
    """One line of running text: ``student`` is the user, ``*unintelligible*`` is nothing, white space is regular."""
    text = value if isinstance(value, str) else ""
    text = re.sub(r"\*\s*unintelligible\s*\*", " ", text, flags=re.IGNORECASE).replace("_", " ")
    text = re.sub(r"student", lambda found: "User" if found[0][0] == "S" else "user", text, flags=re.IGNORECASE)
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    text = re.sub(r" (?=[.,;!?](?:\s|$))", "", text)
    return "" if text.lower() in _ABSENT else text


def clean_text_compat(value: Any) -> str:
    """The same substitutions as plain text replacement in the reference's order, odd spaces kept."""
    text = value if isinstance(value, str) else ""
    return text.strip().replace("_", " ").replace("student", "user").replace("*unintelligible*", "")


@dataclass(frozen=True)
class EventReader:
    """Decode the events of one recording.

    ``duration_s`` bounds the times (not in compat mode). ``skip_verbs`` are verbs of fine actions that say nothing
    about progress; such an action is kept only when it went wrong, and in compat mode never.
    """

    recording: str
    duration_s: float
    skip_verbs: Collection[str]
    compat: bool

    def read(self, records: Any) -> tuple[list[Event], list[Drop]]:
        """Events in time order, and what was repaired or left out. Exact copies of a record count once."""
        events: list[Event] = []
        drops: list[Drop] = []
        for position, record in enumerate(records if isinstance(records, list) else []):
            name = _name(record) or f"events[{position}]"
            event, reason = self._read_one(record, name)
            if reason:
                drops.append(Drop(self.recording, name, reason))
            if event is not None:
                events.append(event)
        if self.compat:
            return sorted(events, key=lambda event: event.start_s), drops
        return self._without_copies(events, drops), drops

    def _without_copies(self, events: list[Event], drops: list[Drop]) -> list[Event]:
        kept: dict[tuple[Any, ...], Event] = {}
        for event in sorted(events, key=lambda event: (*event.order, event.record)):
            if event.order in kept:
                drops.append(Drop(self.recording, event.record, "copy of another record"))
            else:
                kept[event.order] = event
        return list(kept.values())

    def _read_one(self, record: Any, name: str) -> tuple[Event | None, str]:
        attributes = record.get("attributes") if isinstance(record, dict) else None
        if not isinstance(attributes, dict):
            return None, "no attributes"
        kind = next((kind for kind in EventKind if kind.value in attributes), None)
        if kind is None:
            return None, "unknown kind of event"
        start_s, end_s = read_number(record.get("start")), read_number(record.get("end"))
        if self.compat:
            span, repair = ((start_s, end_s), "") if start_s is not None and end_s is not None else (None, "no time")
        elif kind is EventKind.NARRATION:  # its times are not used, so they cannot cost the text
            span, repair = (0.0, self.duration_s), ""
        else:
            span, repair = fit_span(start_s, end_s, self.duration_s)
        if span is None:
            return None, repair
        text, note, role, refusal = self._read_attributes(kind, attributes)
        if refusal:
            return None, refusal
        start_s, end_s = span
        if kind is EventKind.UTTERANCE:
            start_s = (start_s + end_s) / 2
        return Event(kind, start_s, end_s, text, note, role, name), repair

    def _read_attributes(self, kind: EventKind, attributes: Mapping[str, Any]) -> tuple[str, str, str | None, str]:
        """Text, note, role, and the reason to refuse the record ("" = none)."""
        clean = clean_text_compat if self.compat else clean_text
        if kind is EventKind.ACTION:
            text, note, refusal = self._read_action(attributes)
            return text, note, None, refusal
        if kind is EventKind.UTTERANCE:
            role = self._read_role(attributes[kind.value])
            text = clean(attributes.get("Transcription"))
            refusal = "unknown role" if role is None else "" if text or self.compat else "nothing intelligible said"
            return text, "", role, refusal
        text = clean(attributes[kind.value])
        if kind is EventKind.STEP and not text and not self.compat:
            text = _name_action(attributes, clean)
        return text, "", None, "" if text or self.compat else "no text"

    def _read_role(self, purpose: Any) -> str | None:
        speaker = str(purpose).strip().lower().split("-")[0].strip()
        return _ROLES.get(speaker, "assistant" if self.compat else None)

    def _read_action(self, attributes: Mapping[str, Any]) -> tuple[str, str, str]:
        clean = clean_text_compat if self.compat else clean_text
        correctness = str(attributes[EventKind.ACTION.value]).strip()
        explanation = clean(attributes.get("Incorrect Action Explanation"))
        if self.compat:
            note = "" if correctness == "Correct Action" else explanation
        elif correctness.lower().startswith("wrong"):  # "otherwise" is the annotators' word for "none of these"
            note = explanation or clean(correctness).lower()
        else:
            note = ""
        if clean(attributes.get("Verb")) in self.skip_verbs and (self.compat or not note):
            return "", "", "verb that says nothing about progress"
        text = _name_action(attributes, clean)
        return text, note, "" if text else "no verb and no noun"


def _name_action(attributes: Mapping[str, Any], clean: Any) -> str:
    """``verb [adjective] noun`` from what is there."""
    verb, adjective, noun = (clean(attributes.get(name)) for name in ("Verb", "Adjective", "Noun"))
    words = [verb, "" if adjective in _PLAIN_ADJECTIVES else adjective, noun]
    return " ".join(word for word in words if word)
