"""The sample's Ego4D videos: which there are, which of them make one recording, and what is done in each.

Shared by the sources ``ego4d`` and ``ego4d_narrations``, whose files lie in one folder. Everything is invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from mmassist.core.rng import rng
from tools.demo.publication import Writer, video_writer
from tools.demo.schedule import cut_time
from tools.demo.video import num_frames

RAW_DIR = "ego4d_track2"
ANNOTATIONS = "v2/annotations"
GROUP_FILE = f"{ANNOTATIONS}/goalstep_video_groups.tsv"
VIDEO_START_S = 0.0210286458333333  # where the publisher's files say that their picture begins


@dataclass(frozen=True)
class Video:
    """``folder`` is where the file lies; not every video has a small copy."""

    uid: str
    duration_s: float
    fps: Fraction
    folder: str = "video_540ss"

    @property
    def length_s(self) -> float:
        return float(num_frames(self.duration_s, self.fps) / self.fps)


@dataclass(frozen=True)
class Action:
    """What a step or substep is about; ``relevance`` in the publisher's words."""

    text: str
    substeps: tuple[str, ...] = ()
    relevance: str = "essential"


@dataclass(frozen=True)
class Recording:
    """Videos in playing order. ``is_listed``: whether the table of groups names it, as it does some single videos."""

    split: str
    goal: str
    category: str
    videos: tuple[Video, ...]
    actions: tuple[Action, ...]
    is_listed: bool = True

    @property
    def uid(self) -> str:
        """Name in the annotations: a group's is that of its first video with ``grp-`` before it."""
        return ("grp-" if len(self.videos) > 1 else "") + self.videos[0].uid

    @property
    def length_s(self) -> float:
        return sum(video.length_s for video in self.videos)

    def spans(self) -> list[tuple[float, float]]:
        """When each action is done, in seconds of the joined videos."""
        return cut_time(rng("demo", self.uid), len(self.actions), 0.0, self.length_s - 0.5, gap=0.08)


PORRIDGE = (
    Action("Measure oats into a small pot.", ("Open the oat jar", "scoop oats into the pot.")),
    Action("pour milk over the oats", ("Take milk from the fridge", "Pour milk into the pot\n")),
    Action("Wipe the counter", relevance="irrelevant"),
    Action("Heat the porridge on the stove.", ("turn on the burner", "Stir the porridge", "Stir the porridge.")),
    Action("add a pinch of salt"),
    Action("Slice a banana", ("Peel the banana", "Cut the banana into rounds")),
    Action("Serve porridge with banana.", ("fill the bowl", "Lay banana on top")),
)
OMELETTE = (
    Action("Crack eggs into a bowl", ("take eggs from the box.", "Crack the first egg", "Crack the second egg")),
    Action("Whisk the eggs.", ("pick up a fork", "Whisk with the fork")),
    Action("season the eggs", ("Add salt", "Add pepper")),
    Action("Melt butter in the pan", ("Cut a piece of butter.", "Put butter in the pan")),
    Action("Check the phone", relevance="optional"),
    Action("Cook the omelette", ("Pour eggs into the pan", "tilt the pan", "Loosen the edge")),
    Action("Fold and plate the omelette.", ("Fold the omelette", "slide it onto a plate")),
)
SALAD = (
    Action("Wash the lettuce", ("Tear off leaves", "Rinse the leaves.")),
    Action("dry the lettuce", ("Put leaves in the spinner", "Spin the leaves")),
    Action("Cut tomatoes.", ("Halve the tomatoes", "Cut wedges")),
    Action("Grate a carrot", ("Peel the carrot", "grate the carrot")),
    Action("Mix the dressing", ("Pour oil into a cup", "Squeeze a lemon over it", "Stir the dressing")),
    Action("Toss the salad.", ("Pour dressing over the salad", "Turn the leaves")),
)
SANDWICH = (
    Action("Toast two slices of bread", ("Put bread in the toaster", "Press the lever.")),
    Action("mash an avocado", ("Cut the avocado", "Take out the stone", "Mash it with a fork")),
    Action("Spread avocado on the bread.", ("Spoon avocado on the bread", "spread it to the edges")),
    Action("Greet somebody at the door", relevance="irrelevant"),
    Action("Add sliced cucumber", ("Slice the cucumber", "Lay cucumber on the bread")),
    Action("Sprinkle sesame", ("Open the sesame jar.", "Sprinkle the seeds")),
    Action("Cut the sandwich in half", ("Close the sandwich", "Cut across")),
)
TEA = (
    Action("Fill the kettle", ("Open the tap", "Fill the kettle with water")),
    Action("Boil the water.", ("Set the kettle on its base", "switch it on")),
    Action("Warm the teapot", ("Pour hot water into the pot", "Swirl the pot")),
    Action("Add tea leaves", ("Open the tin.", "Put two spoons of leaves in the pot")),
    Action("pour water on the leaves", ("Lift the kettle", "Pour slowly")),
    Action("Pour the tea.", ("Set out a cup", "Strain the tea into the cup")),
)

RECORDINGS = (
    Recording(
        "train",
        "Cook porridge with banana",
        "COOKING:MAKE_PORRIDGE",
        (Video("c3d0a001-5b1e-4c7a-9d20-7f0e11a2b301", 33.0, Fraction(30000, 1001)),),
        PORRIDGE,
        is_listed=False,
    ),
    Recording(
        "train",
        "make an omelette.",
        "COOKING:MAKE_OMELET",
        (
            Video("c3d0a002-5b1e-4c7a-9d20-7f0e11a2b302", 16.0, Fraction(30)),
            Video("b3d0a012-5b1e-4c7a-9d20-7f0e11a2b312", 19.0, Fraction(25), "full_scale"),
        ),
        OMELETTE,
    ),
    Recording(
        "train",
        "Brew tea",
        "COOKING:BREW_TEA",
        (Video("c3d0a003-5b1e-4c7a-9d20-7f0e11a2b303", 28.0, Fraction(2997, 100)),),
        TEA,
    ),
    Recording(
        "val",
        "Prepare a green salad",
        "COOKING:MAKE_SALAD",
        (Video("d4e0a003-8c2f-4d6b-8e31-6a1f22b3c403", 30.0, Fraction(24000, 1001), "full_scale"),),
        SALAD,
        is_listed=False,
    ),
    Recording(
        "val",
        "Make an avocado sandwich",
        "COOKING:MAKE_SANDWICH",
        (
            Video("d4e0a002-8c2f-4d6b-8e31-6a1f22b3c402", 15.0, Fraction(30)),
            Video("a4e0a012-8c2f-4d6b-8e31-6a1f22b3c412", 17.0, Fraction(30000, 1001)),
        ),
        SANDWICH,
    ),
)


def group_table() -> bytes:
    """The publisher's table: a column of Python lists behind the site's name."""
    rows = [[video.uid for video in recording.videos] for recording in RECORDINGS if recording.is_listed]
    return "".join(["university\tvideo_group\n", *(f"demo\t{row}\n" for row in rows)]).encode()


def video_writers() -> Mapping[str, Writer]:
    """Path below ``RAW_DIR`` of every video, and what writes it."""
    writers: dict[str, Writer] = {}
    for recording in RECORDINGS:
        begin_s = 0.0
        for video in recording.videos:
            scenes = [start - begin_s for start, _ in recording.spans() if start >= begin_s]
            path = f"v2/{video.folder}/{video.uid}.mp4"
            writers[path] = video_writer(video.duration_s, video.fps, scenes)
            begin_s += video.length_s
    return writers
