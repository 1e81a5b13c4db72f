"""A small Something-Something v2: clips of numbered pictures with invented labels."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from mmassist.io.atomic import commit
from tools.demo.frame_code import HEIGHT, WIDTH, draw_picture
from tools.demo.publication import Publication, Writer
from tools.demo.video import COLOURS

RAW_DIR = "sthsth-v2"
FIRST_TRAIN, FIRST_VAL = (1003, 1290), (1011, 1302)  # ids in two groups of 256 each
STEP = 17
NUM_TRAIN, NUM_VAL = 16, 8
MISSING, BROKEN = 4, 9  # clips of the training list
NUMBERS_PER_CLIP = 100  # pictures of clip n are numbered from 100 n
RATES = {2: Fraction(30), 6: Fraction(25), 13: Fraction(30000, 1001)}  # clips that have not 12 pictures a second
TEMPLATES = (
    ("Sliding [something] under [something]", 2),
    ("Folding [something]", 1),
    ("Almost dropping [something]", 1),
    ("Turning [something] towards [something]", 2),
)
THINGS = ("a cork", "ruler", "tea towel", "a USB stick", "coin", "his wallet", "paper boat")


def publish() -> Publication:
    """16 training and 8 validation clips; one file is missing, one cut off."""
    train = [_record(number, _clip_id(FIRST_TRAIN, number, NUM_TRAIN)) for number in range(NUM_TRAIN)]
    val = [_record(NUM_TRAIN + number, _clip_id(FIRST_VAL, number, NUM_VAL)) for number in range(NUM_VAL)]
    files = {
        "labels/train.json": train,
        "labels/validation.json": val,
        "labels/test.json": [{"id": "1900"}],
        "labels/labels.json": {_plain(template): str(at) for at, (template, _) in enumerate(TEMPLATES)},
    }
    texts = {name: json.dumps(content).encode() for name, content in files.items()}
    clips = {f"videos/videos/{record['id']}.webm": _writer(number) for number, record in enumerate(train + val)}
    del clips[f"videos/videos/{train[MISSING]['id']}.webm"]
    return Publication(RAW_DIR, texts, clips)


def write_webm(path: Path, num_frames: int, fps: Fraction, first: int = 0) -> None:
    """Write a WebM file (VP8) of pictures numbered from ``first``."""
    import av

    options = {"fflags": "+bitexact"}  # without it the file carries a random number
    with commit(path) as file, av.open(file, "w", format="webm", options=options) as container:
        stream = container.add_stream("libvpx", rate=fps, options={"deadline": "realtime", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 1_500_000
        stream.codec_context.time_base = 1 / fps
        stream.codec_context.thread_count = 1  # the same bytes whatever the machine
        colour = COLOURS[first // NUMBERS_PER_CLIP % len(COLOURS)]
        for number in range(num_frames):
            planes = draw_picture(first + number, (number + 1) / num_frames, 80, colour)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _writer(number: int) -> Writer:
    fps = RATES.get(number, Fraction(12))
    num_frames = round((2 + number % 5 / 4) * fps)
    if number != BROKEN:
        return lambda path: write_webm(path, num_frames, fps, number * NUMBERS_PER_CLIP)
    return _write_broken


def _write_broken(path: Path) -> None:
    """The first bytes of a file, too few for a picture."""
    write_webm(path, 12, Fraction(12))
    content = path.read_bytes()
    path.unlink()
    with commit(path) as file:
        file.write(content[:200])


def _clip_id(first: tuple[int, int], number: int, total: int) -> int:
    half = total // 2
    return first[number // half] + number % half * STEP


def _record(number: int, clip: int) -> dict[str, Any]:
    template, num_things = TEMPLATES[number % len(TEMPLATES)]
    things = [THINGS[(number + 3 * place) % len(THINGS)] for place in range(num_things)]
    label = template.lower()
    for thing in things:
        label = label.replace("[something]", thing, 1)
    return {"id": str(clip), "label": label, "template": template, "placeholders": things}


def _plain(template: str) -> str:
    return template.replace("[", "").replace("]", "")
