"""A small Assembly101: four sequences, each a toy taken apart and put together again, by two cameras of a headset."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmassist.core.rng import rng
from mmassist.io.atomic import commit
from tools.demo.frame_code import HEIGHT, WIDTH, draw_picture
from tools.demo.publication import Publication, Writer
from tools.demo.schedule import cut_time
from tools.demo.video import num_frames

if TYPE_CHECKING:
    import av

RAW_DIR = "assembly101"
ANNOTATION_FPS = 30  # of all frame numbers, whatever the video has
HEADSETS = (("HMC_21110305_mono10bit", "HMC_21179183_mono10bit"), ("HMC_84355350_mono10bit", "HMC_84358933_mono10bit"))
TABLE_VIEW = "C90379_rgb"  # one of the cameras around the table, without a video here

_FINE = "annotations/fine-grained-annotations"
_COARSE = "annotations/coarse-annotations/coarse_labels"
_MISTAKES = "annotations/assembly101-mistake-detection/annots"
_HEADER = (
    "id,video,start_frame,end_frame,action_id,verb_id,noun_id,action_cls,verb_cls,noun_cls,"
    "toy_id,toy_name,is_shared,is_RGB"
)


class Act(NamedTuple):
    """One step: two parts joined or parted, and what the publisher says about it."""

    verb: str
    this: str
    that: str
    label: str = "correct"
    remark: str = ""


@dataclass(frozen=True)
class Recording:
    """``headset`` is its generation; ``has_remarks`` false: the mistake file lacks the last column."""

    actor: str
    toy_id: str
    toy: str
    split: str
    headset: int
    duration_s: float
    fps: Fraction
    acts: tuple[Act, ...]
    line_end: str = "\n"
    has_remarks: bool = True

    @property
    def name(self) -> str:
        return f"nusar-2021_action_both_{self.actor}-{self.toy_id}_{self.actor}_user_id_2021-03-01_10{self.actor[2:]}00"

    @property
    def views(self) -> tuple[str, ...]:
        return HEADSETS[self.headset]


RECORDINGS = (
    Recording(
        "9951",
        "x01a",
        "street sweeper",
        "train",
        0,
        40.0,
        Fraction(60),
        (
            Act("attach", "cabin", "chassis"),
            Act("attach", "beacon", "cabin"),
            Act("attach", "tank", "chassis", "mistake", "wrong order"),
            Act("detach", "tank", "chassis", "correction"),
            Act("attach", "brush", "chassis"),
            Act("attach", "tank", "chassis"),
            Act("attach", "hose", "tank"),
            Act("attach", "wheel", "chassis"),
        ),
        line_end="\r\n",
    ),
    Recording(
        "9952",
        "x02b",
        "-",
        "train",
        1,
        38.0,
        Fraction(30000, 1001),
        (
            Act("attach", "axle", "frame"),
            Act("attach", "wheel", "axle"),
            Act("attach", "seat", "frame"),
            Act("attach", "motor", "frame"),
            Act("attach", "hood", "motor"),
            Act("attach", "trailer", "frame"),
            Act("attach", "lamp", "hood"),
        ),
        has_remarks=False,
    ),
    Recording(
        "9953",
        "x03c",
        "snow plough",
        "val",
        1,
        37.0,
        Fraction(2446, 100),
        (
            Act("attach", "interior", "chassis"),
            Act("attach", "cabin", "chassis"),
            Act("attach", "blade", "arm", "mistake", "worng position"),
            Act("detach", "blade", "arm", "correction"),
            Act("attach", "blade", "arm"),
            Act("attach", "arm", "chassis"),
            Act("detach", "cabin", "chassis", "mistake", "shouln't have happened"),
            Act("attach", "cabin", "chassis"),
        ),
    ),
    Recording(
        "9954",
        "x04d",
        "log carrier",
        "val",
        0,
        39.0,
        Fraction(2997, 100),
        (
            Act("attach", "step", "chassis"),
            Act("attach", "roof", "cabin", "mistake", "wrong order"),
            Act("attach", "cabin", "chassis", "mistake", "previous one is mistake"),
            Act("detach", "roof", "cabin", "correction"),
            Act("attach", "crane", "cabin"),
            Act("attach", "roof", "cabin"),
            Act("attach", "log rack", "chassis"),
        ),
    ),
)


class Segment(NamedTuple):
    """A stretch of the video in seconds, and the act in it."""

    start_s: float
    end_s: float
    act: Act


def publish() -> Publication:
    """The annotation files, and a video for each of a sequence's two cameras."""
    files: dict[str, bytes] = {}
    pictures: dict[str, Writer] = {}
    for recording in RECORDINGS:
        apart, together = _plan_tasks(recording)
        for task, segments in (("disassembly", apart), ("assembly", together)):
            lines = [f"{_frame(s.start_s):09d}\t{_frame(s.end_s):09d}\t{s.act.verb} {s.act.this}\n" for s in segments]
            files[f"{_COARSE}/{task}_{recording.name}.txt"] = "".join(lines).encode()
        files[f"{_MISTAKES}/{recording.name}.csv"] = _write_mistakes(recording, together)
        for view in recording.views:
            scenes = [segment.start_s for segment in (*apart, *together)]
            pictures[f"videos/{recording.name}/{view}.mp4"] = _writer(recording, scenes)
    for split, file in (("train", "train.csv"), ("val", "validation.csv")):
        rows = [row for recording in RECORDINGS if recording.split == split for row in _iter_fine_rows(recording)]
        numbered = [f"{number},{row}" for number, row in enumerate(rows)]
        files[f"{_FINE}/{file}"] = "".join(f"{line}\n" for line in (_HEADER, *numbered)).encode()
    return Publication(RAW_DIR, files, pictures)


def _plan_tasks(recording: Recording) -> tuple[list[Segment], list[Segment]]:
    """What is taken apart at first, each part unscrewed and detached, and put together in the rest of the video."""
    generator = rng("demo", recording.name)
    joined = dict.fromkeys(act[1:3] for act in reversed(recording.acts))
    parted = [Act(verb, *parts) for parts in list(joined)[:3] for verb in ("unscrew", "detach")]
    turn_s = 0.4 * recording.duration_s
    apart = cut_time(generator, len(parted), 2.5, turn_s, gap=0.15)
    together = cut_time(generator, len(recording.acts), turn_s + 2.0, recording.duration_s - 1.5, gap=0.06)
    return (
        [Segment(*span, act) for span, act in zip(apart, parted, strict=True)],
        [Segment(*span, act) for span, act in zip(together, recording.acts, strict=True)],
    )


def _write_mistakes(recording: Recording, segments: list[Segment]) -> bytes:
    """Rows begin with their step and end before it; files with CRLF have no line end behind the last row."""
    rows = []
    for start_s, end_s, act in segments:
        cells = [str(_frame(start_s)), str(_frame(start_s + 0.6 * (end_s - start_s))), *act]
        rows.append(",".join(cells if recording.has_remarks else cells[:-1]))
    text = recording.line_end.join(rows)
    return (text if recording.line_end == "\r\n" else text + recording.line_end).encode()


def _iter_fine_rows(recording: Recording) -> Iterator[str]:
    """Every fine action once for each view, those around the table included."""
    for segment in itertools.chain(*_plan_tasks(recording)):
        middle_s = (segment.start_s + segment.end_s) / 2
        is_joined = segment.act.verb == "attach"
        for verb, tool, start_s, end_s in (
            ("pick up", "", segment.start_s + 0.05, middle_s),
            ("screw" if is_joined else "unscrew", " with screwdriver", middle_s, segment.end_s),
        ):
            for view in (TABLE_VIEW, *recording.views):
                noun = f"{segment.act.this}{tool}"
                kind = f"0,0,0,{verb} {noun},{verb},{noun}"
                toy = f"{recording.toy_id},{recording.toy},0,{int(view == TABLE_VIEW)}"
                yield f"{recording.name}/{view}.mp4,{_frame(start_s)},{_frame(end_s)},{kind},{toy}"


def _frame(time_s: float) -> int:
    return round(time_s * ANNOTATION_FPS)


def _writer(recording: Recording, scenes_s: list[float]) -> Writer:
    return lambda path: _write_turned(path, recording.duration_s, recording.fps, scenes_s)


def _write_turned(path: Path, duration_s: float, fps: Fraction, scenes_s: list[float]) -> None:
    """An MP4 file of numbered grey pictures that lie on their side, as the headset's cameras do."""
    import av

    with commit(path) as file, av.open(file, "w", format="mp4") as container:
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "26", "g": "60", "bf": "0"}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = 1 / fps
        stream.codec_context.thread_count = 1  # the same bytes whatever the machine
        for frame in _iter_turned(duration_s, fps, scenes_s):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _iter_turned(duration_s: float, fps: Fraction, scenes_s: list[float]) -> Iterator[av.VideoFrame]:
    import av

    total, left = num_frames(duration_s, fps), (WIDTH - HEIGHT) // 2
    for number in range(total):
        scene = sum(start <= number / fps for start in scenes_s)
        planes = draw_picture(number, (number + 1) / total, 60 + 10 * (scene % 7), (128, 128))
        square = planes[:HEIGHT, left : left + HEIGHT]
        square[:] = np.rot90(square, k=-1).copy()  # a quarter clockwise: turned back before use
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = number, 1 / fps
        yield frame
