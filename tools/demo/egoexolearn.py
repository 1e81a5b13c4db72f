"""The sample's EgoExoLearn folder: one table of fine actions, and the ego videos. All of it is invented."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from fractions import Fraction

from mmassist.core.rng import rng
from tools.demo.publication import Publication, Writer, video_writer
from tools.demo.schedule import cut_time
from tools.demo.video import num_frames

RAW_DIR = "EgoExoLearn"
FPS = Fraction(25)
TAIL = "-ac78-11ee-819f-80615f12b59e"
COLUMNS = (
    "video_uid",
    "annotation_id",
    "subset",
    "view",
    "scene",
    "start_sec",
    "end_sec",
    "narration_en",
    "narration_en_hand_prompt",
    "narration_en_no_hand_prompt",
)
EGGS = (
    "Crack the eggs into the bowl.",
    "Beat the eggs with chopsticks.",
    "Slice the soaked wood ear, then the cucumber.",
    "Cut the pork into strips.",
    "Put starch and soy sauce on the pork.",
    "Pour oil into the pan.",
    "Scramble the eggs and take them out.",
    "Put the pork into the pan and fry it.",
    "Add the egg and the wood ear.",
    "Move the dish to the plate.",
)
SOUP = (
    "Scald the tomato with hot water.",
    "Peel the tomato.",
    "Dice the tomato.",
    "Stir water into the flour until crumbs of dough form.",
    "Fry the tomato until the juice runs.",
    "Pour water into the pot.",
    "Drop the dough into the soup, stirring.",
    "Season the soup with salt.",
    "Ladle the soup into a bowl.",
)
PEPTIDE = (
    "Weigh the amino acid powder on the balance.",
    "Fill the powder into the tube.",
    "Add the solution to the resin.",
    "Put the vessel on the shaker.",
    "Switch on the water pump.",
    "Wash the resin with the wash bottle.",
    "Suck the resin dry through the filter.",
    "Take a few beads into the small test tube.",
)
CELLS = (
    "Suck off the old medium.",
    "Rinse the cells with PBS.",
    "Cover the cells with trypsin.",
    "Stop the digestion with medium.",
    "Look at the cells under the microscope.",
    "Balance the tubes in the centrifuge.",
    "Fill the dishes with new medium.",
    "Divide the cells among the dishes.",
    "Put the dishes into the incubator.",
)


@dataclass(frozen=True)
class Video:
    """``uid`` decides the side of a video whose rows are of both subsets; ``only`` is the subset of all rows of one."""

    uid: str
    scene: str
    fps: Fraction
    duration_s: float
    actions: tuple[str, ...]
    only: str = ""

    @property
    def length_s(self) -> float:
        return float(num_frames(self.duration_s, self.fps) / self.fps)


VIDEOS = (
    Video(f"bee90000{TAIL}", "kitchen", FPS, 33.0, EGGS),
    Video(f"bee90001{TAIL}", "lab", FPS, 29.0, PEPTIDE),
    Video(f"bee90002{TAIL}", "kitchen", Fraction(24000, 1001), 27.0, SOUP),
    Video(f"bee90003{TAIL}", "lab", FPS, 31.0, CELLS),
    Video(f"bee90004{TAIL}", "kitchen", FPS, 28.0, SOUP, only="val"),
    Video(f"bee90005{TAIL}", "lab", Fraction(30000, 1001), 25.0, PEPTIDE, only="val"),
)
EXO_UID = "2c900000-56c4-11ee-88ee-80615f12b59e"


def publish() -> Publication:
    """The table with ego and exo rows, and the ego videos."""
    rows = [row for video in VIDEOS for row in _rows(video)] + _exo_rows()
    rng("demo", "egoexolearn", "order").shuffle(rows)  # the publisher's order means nothing
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    files = {
        "annotations/fine_annotation_trainval_en.csv": text.getvalue().encode(),
        "annotations/README.md": b"Invented; free to use.\n",
    }
    return Publication(RAW_DIR, files, {f"videos/{video.uid}.mp4": _writer(video) for video in VIDEOS})


def _writer(video: Video) -> Writer:
    return video_writer(video.duration_s, video.fps, [start for start, _ in _spans(video)])


def _spans(video: Video) -> list[tuple[float, float]]:
    return cut_time(rng("demo", video.uid), len(video.actions), 1.4, video.length_s - 1.2, gap=0.2)


def _rows(video: Video) -> list[list[str]]:
    rows = []
    for place, ((start, end), text) in enumerate(zip(_spans(video), video.actions, strict=True)):
        subset = video.only or ("val" if place % 6 == 5 else "train")
        handed = text.replace("the", "with your right hand the", 1)
        plain = f"Rephrase the sentence as:\n{text}" if place == 2 else text  # what the rewriting machine left behind
        uid = f"demo{video.uid[4:8]}{place:02d}"
        times = [f"{start:.1f}", repr(round(end, 7)) if place == 3 else f"{end:.1f}"]
        rows.append([video.uid, uid, subset, "ego", video.scene, *times, handed, handed, plain])
    return rows


def _exo_rows() -> list[list[str]]:
    """Rows of a video filmed from outside, which is not used."""
    return [
        [
            EXO_UID,
            f"demo2c{place:02d}",
            "train",
            "exo",
            "kitchen",
            f"{3.0 * place}",
            f"{3.0 * place + 2}",
            text,
            text,
            text,
        ]
        for place, text in enumerate(EGGS)
    ]
