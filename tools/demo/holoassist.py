"""The sample's HoloAssist folder: split lists, one annotation file, a video per recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmassist.core.fingerprint import bytes_digest
from mmassist.core.rng import rng
from tools.demo.procedure import LAMP, PLANT, TRIPOD, WATCH, Action, Procedure, Stage
from tools.demo.schedule import cut_time
from tools.demo.video import HOLOASSIST_FPS, num_frames, write_mp4

RAW_DIR = "holoassist"
ANNOTATION_FILE = "data-annotation-trainval-v1_1.json"
HELD_OUT = ("R908-9May-Tripod", "z909-9May-Lamp")  # in the test list: neither annotated nor needed as a video


@dataclass(frozen=True)
class Recording:
    """``name`` tells the participant by its first part; ``split`` is the list that names it."""

    name: str
    split: str
    procedure: Procedure
    duration_s: float


RECORDINGS = (
    Recording("R901-3May-Tripod", "train", TRIPOD, 74.0),
    Recording("R901-4May-Lamp", "train", LAMP, 88.0),
    Recording("R902-3May-Watch", "train", WATCH, 67.0),
    Recording("z903-5May-Plant", "train", PLANT, 81.0),
    # the same person as in two training recordings: the pipeline moves it to training and says so
    Recording("R901-5May-Watch", "val", WATCH, 62.0),
    Recording("R904-6May-Lamp", "val", LAMP, 92.0),
    Recording("R905-6May-Plant", "val", PLANT, 70.0),
    Recording("R906-7May-Tripod", "val", TRIPOD, 79.0),
)


def video_path(folder: Path, name: str) -> Path:
    """Where the publisher's archive puts a recording's video."""
    return folder / "video_pitch_shifted" / name / "Export_py" / "Video_pitchshift.mp4"


def build_texts(recordings: tuple[Recording, ...]) -> dict[str, Any]:
    """File name -> content: the annotation records (a list) and the lines of the split lists."""
    lists = {split: [r.name for r in recordings if r.split == split] for split in ("train", "val")}
    return {
        ANNOTATION_FILE: [build_record(recording) for recording in recordings],
        "train-v1_2.txt": lists["train"],
        "val-v1_2.txt": lists["val"],
        "test-v1_2.txt": list(HELD_OUT),
    }


def video_writers(recordings: tuple[Recording, ...], folder: Path) -> dict[Path, Callable[[Path], None]]:
    """Path of every video and what writes it."""
    return {video_path(folder, r.name): _writer(r) for r in recordings}


def _writer(recording: Recording) -> Callable[[Path], None]:
    events = build_record(recording)["events"]
    scenes = [event["start"] for event in events if event["label"] == "Coarse grained action"]
    return lambda path: write_mp4(path, recording.duration_s, HOLOASSIST_FPS, scenes)


def build_record(recording: Recording) -> dict[str, Any]:
    """One recording's annotation record as the publisher's file has it."""
    length_s = float(num_frames(recording.duration_s, HOLOASSIST_FPS) / HOLOASSIST_FPS)
    minutes, seconds = divmod(length_s, 60)
    return {
        "batch": "demo_2221_10fps",
        "videoMetadata": {
            "video": {
                "container": "mov",
                "stream": 0,
                "codec": "h264",
                "resolution": {"w": 320, "h": 180},
                "aspect": {"x": 16, "y": 9, "string": "16:9", "value": 16 / 9},
                "rotate": 0,
                "fps": 29.97,
                "pixelString": "1:1",
                "pixel": 1,
            },
            "duration": {"raw": f"00:{int(minutes):02d}:{seconds:05.2f}", "seconds": int(length_s)},
        },
        "events": _EventWriter(recording, length_s).write(),
        "taskId": bytes_digest(recording.procedure.title.encode())[:24],
        "taskType": recording.procedure.title,
        "video_name": recording.name,
    }


class _EventWriter:
    """Lays a procedure over a recording's time. Ids count up; the list is in order of writing, not of time."""

    def __init__(self, recording: Recording, length_s: float):
        self._recording, self._length_s = recording, length_s
        self._rng = rng("demo", recording.name)
        self._events: list[dict[str, Any]] = []

    def write(self) -> list[dict[str, Any]]:
        procedure = self._recording.procedure
        self._add("Narration", 0.02, self._length_s - 0.1, {"Long form description": procedure.summary})
        spans = cut_time(self._rng, len(procedure.stages), 4.0, self._length_s - 2.0, gap=0.12)
        self._say("instructor-start-conversation_opening remarks", 0.8, 2.4, "Okay, let us begin.")
        for stage, (start, end) in zip(procedure.stages, spans, strict=True):
            self._write_stage(stage, start, end)
        self._say(
            "instructor-start-conversation_closing remarks", self._length_s - 1.6, self._length_s - 0.4, "All done."
        )
        return self._events

    def _write_stage(self, stage: Stage, start: float, end: float) -> None:
        said_until = start + 0.25 * (end - start)
        self._say(
            "instructor-start-conversation_describing high-level instruction",
            max(0.0, start - 0.6),
            said_until - 0.2,
            stage.talk.instruction,
        )
        words = {"Action sentence": stage.sentence, **_words(stage.main)}
        self._add("Coarse grained action", start, end, words)
        num_parts = len(stage.actions) + bool(stage.talk.question) + bool(stage.wrong)
        parts = iter(cut_time(self._rng, num_parts, said_until, end, gap=0.05))
        if stage.talk.question:
            self._ask(stage, *next(parts))
        if stage.wrong:
            self._fail(stage.wrong, *next(parts))
        for action, part in zip(stage.actions, parts, strict=True):
            self._act(action, *part, "Correct Action")

    def _ask(self, stage: Stage, start: float, end: float) -> None:
        middle = (start + end) / 2
        self._say("student-start-conversation_ask questions", start, middle - 0.1, stage.talk.question)
        self._say("instructor-reply-to-student_answer questions", middle, end, stage.talk.answer)

    def _fail(self, wrong: tuple[Action, str, str], start: float, end: float) -> None:
        action, explanation, correction = wrong
        middle = (start + end) / 2
        number = self._act(action, start, middle, "Wrong Action, corrected by instructor verbally", explanation)
        spoken = self._say(
            "instructor-start-conversation_correct the wrong action", middle, end, correction, sequence=str(number)
        )
        self._events[number - 1]["attributes"]["Incorrect Action Corrected by"] = str(spoken)

    def _act(self, action: Action, start: float, end: float, correctness: str, explanation: str = "none") -> int:
        attributes = {
            "Action Correctness": correctness,
            "Incorrect Action Explanation": explanation,
            "Incorrect Action Corrected by": "none",
            **_words(action),
            "adverbial": "none",
        }
        return self._add("Fine grained action", start, end, attributes)

    def _say(self, purpose: str, start: float, end: float, text: str, sequence: str = "none") -> int:
        attributes = {
            "Conversation Purpose": purpose,
            "sequence": sequence,
            "Transcription": text,
            "Transcription Confidence": "none",
        }
        return self._add("Conversation", start, end, attributes)

    def _add(self, label: str, start: float, end: float, attributes: dict[str, Any]) -> int:
        number = len(self._events) + 1
        self._events.append(
            {
                "id": number,
                "label": label,
                "start": round(start, 3),
                "type": "range",
                "attributes": attributes,
                "end": round(end, 3),
            }
        )
        return number


def _words(action: Action) -> dict[str, str]:
    return {"Verb": action.verb, "Adjective": action.adjective, "Noun": action.noun}
