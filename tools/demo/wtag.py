"""The sample's WTaG folder: one folder per session with clock, steps, speech and a program stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmassist.core.rng import rng
from tools.demo.procedure import CAKE, COFFEE, PINWHEEL, Dish
from tools.demo.schedule import cut_time
from tools.demo.video import WTAG_FPS, num_frames, write_mpeg

RAW_DIR = "WTaG"
TICKS_PER_SECOND = 10_000_000
FIRST_TICK = 133_470_000_000_000_000  # 100-nanosecond ticks since 1601, as Windows counts
Row = tuple[float, float, *tuple[str, ...]]


@dataclass(frozen=True)
class Session:
    """``name`` decides the side: the published split goes by it."""

    name: str
    dish: Dish
    duration_s: float


SESSIONS = (
    Session("T1", PINWHEEL, 86.0),
    Session("T2", COFFEE, 71.0),
    Session("T3", CAKE, 95.0),
    Session("T11", COFFEE, 64.0),
    Session("T47", PINWHEEL, 78.0),
    Session("T5", CAKE, 83.0),
    Session("T52", COFFEE, 90.0),
    Session("T8", PINWHEEL, 68.0),
)


def build_texts(sessions: tuple[Session, ...]) -> dict[str, list[str]]:
    """File name -> lines."""
    texts: dict[str, list[str]] = {}
    for number, session in enumerate(sessions):
        first = FIRST_TICK + number * 36_000 * TICKS_PER_SECOND
        length_s = _length_s(session)
        steps, instructor, user = _write_session(session, length_s)
        texts |= {
            f"{session.name}/Video/VideoMpegTiming.txt": [str(first), str(first + _ticks(length_s))],
            f"{session.name}/StepDetection/StepDetection.txt": _lines(first, steps),
            f"{session.name}/TextASR/InstructorAnnotations_intent.txt": _lines(first, instructor),
            f"{session.name}/TextASR/UserAnnotations_intent.txt": _lines(first, user),
        }
    return texts


def video_writers(sessions: tuple[Session, ...], folder: Path) -> dict[Path, Callable[[Path], None]]:
    """Path of every video and what writes it."""
    return {folder / s.name / "Video" / "Video.mpeg": _writer(s) for s in sessions}


def _writer(session: Session) -> Callable[[Path], None]:
    steps, _, _ = _write_session(session, _length_s(session))
    return lambda path: write_mpeg(path, session.duration_s, WTAG_FPS, [row[0] for row in steps])


def _length_s(session: Session) -> float:
    return float(num_frames(session.duration_s, WTAG_FPS) / WTAG_FPS)


def _write_session(session: Session, length_s: float) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows of steps, instructor and user, in seconds of the video."""
    random = rng("demo", session.name)
    begin_s, end_s = 5.0, length_s - 3.0
    steps: list[Row] = [(0.0, begin_s, "Start")]
    instructor: list[Row] = [(1.5, 3.5, session.dish.greeting, "Other")]
    user: list[Row] = []
    spans = cut_time(random, len(session.dish.steps), begin_s + 0.5, end_s, gap=0.1)
    for (name, talk), (start, end) in zip(session.dish.steps, spans, strict=True):
        steps.append((start, end, name))
        told = start + 0.3 * (end - start)
        instructor.append((start, told, talk.instruction, "Instruction", "Current Step"))
        if talk.question:
            asked = start + 0.55 * (end - start)
            user.append((told + 0.2, asked, talk.question, "Question"))
            instructor.append((asked + 0.2, start + 0.85 * (end - start), talk.answer, "Answer"))
        else:
            user.append((told + 0.2, told + 0.9, random.choice(("Okay.", "All right.", "Done.")), "Confirmation"))
    steps.append((end_s + 0.2, length_s - 0.2, "Done"))
    instructor.append((end_s + 0.5, length_s - 0.6, session.dish.farewell, "Other"))
    return steps, instructor, user


def _lines(first: int, rows: list[Row]) -> list[str]:
    return ["\t".join([str(first + _ticks(start)), str(first + _ticks(end)), *texts]) for start, end, *texts in rows]


def _ticks(time_s: float) -> int:
    return round(time_s * TICKS_PER_SECOND)
