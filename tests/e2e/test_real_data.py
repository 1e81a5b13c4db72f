"""All six stages over published annotations with videos of full length, and real footage through the picture stages.

The videos that cannot be had are stand-ins of the right rate and length whose frames carry their own number; what they
should show at a time is taken from ffmpeg's command line.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import shutil
import subprocess
import sys
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from mmassist.io.layout import Layout
from mmassist.io.ledger import load_outcomes
from mmassist.io.reader import UnitReader
from mmassist.loader import iter_samples
from tests.e2e.commands import ALL_STAGES, FOLDERS, leftovers, run, start, words_of
from tests.e2e.test_outputs import PREPARED, read_json, reader, samples
from tools.bench import dialog_differences, source_differences

SOURCES = {"holoassist": "holoassist", "wtag": "WTaG", "captaincook4d": "captaincook4d"}
VIDEOS = {
    "holoassist": "holoassist/video_pitch_shifted/{}/Export_py/Video_pitchshift.mp4",
    "wtag": "WTaG/{}/Video/Video.mpeg",
    "captaincook4d": "captaincook4d/captain_cook_4d/gopro/resolution_360p/{}_360p.mp4",
}
EVERY = {
    "holoassist": ("R208-11Nov-ATV", "R900-EXCERPT-GoPro"),
    "wtag": ("T1", "T2"),
    "captaincook4d": ("1_10", "1_7", "8_15", "8_16", "8_19", "8_25", "8_3", "8_33", "8_40"),
}
SOME = {"holoassist": ("R208-11Nov-ATV",), "wtag": ("T1",), "captaincook4d": ("8_33", "8_40")}
ENCODED = {"holoassist": ("R208-11Nov-ATV",)}  # with SOME: encoding is the slow part
RATES = {"holoassist": Fraction("29.78"), "wtag": Fraction(30), "captaincook4d": Fraction(30000, 1001)}
LOW_COVERAGE = "R900-EXCERPT-GoPro"  # 49 % of it is annotated, half is asked for


@pytest.fixture(scope="module")
def fixture_script(sample_data) -> Path:
    path = sample_data.parent / "tools" / "make_fixtures.py"
    if not path.is_file():
        pytest.skip(f"no {path}, which makes videos for the sample data")
    return path


@pytest.fixture(scope="module")
def read_code(fixture_script):
    """``read_code(grey picture, square)`` -> the frame number it carries, by the script's own reader."""
    spec = importlib.util.spec_from_file_location("make_fixtures", fixture_script)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return lambda grey: script.read_code(grey.tobytes(), grey.shape[1], grey.shape[0])


@dataclass(frozen=True)
class RealRun:
    root: Path
    recordings: dict[str, tuple[str, ...]]

    def video(self, dataset: str, recording: str) -> Path:
        return self.root / "datasets" / VIDEOS[dataset].format(recording)

    @property
    def is_whole(self) -> bool:
        return self.recordings == EVERY

    def encoded(self, dataset: str) -> tuple[str, ...]:
        return self.recordings[dataset] if self.is_whole else ENCODED.get(dataset, ())

    def commands(self) -> list[list[list[str]]]:
        """Commands one after another; those in one list at the same time."""
        every = f"dataset={','.join(SOURCES)}"
        if self.is_whole:
            return [[words_of(ALL_STAGES, every, launcher="local")]]
        encoded = f"dataset={','.join(ENCODED)}"
        return [
            [words_of("stage=extract", every, launcher="local")],
            [words_of("stage=generate,judge,split,pack", every), words_of("stage=encode", encoded, launcher="local")],
        ]


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.slow)])
def real_run(request, sample_data, fixture_script, tmp_path_factory) -> RealRun:
    """The published annotations with a video for each wanted recording, after all six stages."""
    made = RealRun(tmp_path_factory.mktemp("real"), SOME if request.param == "some" else EVERY)
    for folder in SOURCES.values():
        copy_writable(sample_data / folder, made.root / "datasets" / folder)
    # The script leaves a file alone that is there, so an empty one in its place saves a video nobody looks at.
    held = [made.video(d, r) for d in SOURCES for r in EVERY[d] if r not in made.recordings[d]]
    held += [made.video("wtag", r) for r in ("T55a", "T55b")]  # never read
    for path in held:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    words = ["videos", str(made.root / "datasets"), "--max-seconds", "700", "--size", "160x90"]
    subprocess.run([sys.executable, str(fixture_script), *words], check=True, capture_output=True)
    for path in held:
        path.unlink()
    for together in made.commands():
        for process in [start(made.root, words) for words in together]:
            text, _ = process.communicate(timeout=1800)
            assert process.returncode == 0, text
    return made


def copy_writable(source: Path, target: Path) -> None:
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


def picture_times(video: Path) -> list[Fraction]:
    """When each picture comes on the screen, in seconds after the start of the earliest stream, by ffmpeg."""
    words = ["-map", "0:v:0", "-vsync", "passthrough", "-enc_time_base", "-1", "-f", "framecrc", "-"]
    command = ["ffmpeg", "-v", "error", "-i", str(video), *words]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    base = next(Fraction(line.split(":")[1].strip()) for line in lines if line.startswith("#tb"))
    return [int(line.split(",")[2]) * base for line in lines if not line.startswith("#")]


def pictures_of(item) -> list[np.ndarray]:
    names = [name for name in item.names if name.endswith(".jpg")]
    return [simplejpeg.decode_jpeg(item.read(name), colorspace="GRAY")[:, :, 0] for name in names]


@pytest.mark.parametrize("dataset", SOURCES)
def test_what_became_of_every_item(real_run, dataset):
    everything, with_video = set(EVERY[dataset]), set(real_run.recordings[dataset])
    done = {
        "extract": with_video,
        "generate": everything - {LOW_COVERAGE},
        "judge": everything - {LOW_COVERAGE},
        "split": everything - {LOW_COVERAGE},
        "encode": set(real_run.encoded(dataset)),
        "pack": with_video - {LOW_COVERAGE},
    }
    for stage, keys in done.items():
        unit = Layout(real_run.root).unit(dataset, FOLDERS[stage])
        assert set(UnitReader(unit, stage).keys()) == keys, stage
        others = {key: (o.status, o.reason) for key, o in load_outcomes(unit.ledger_dir).items()}
        if stage == "encode" and not real_run.encoded(dataset):
            continue
        assert others.keys() == everything - keys, stage
        for key, outcome in others.items():
            reasons = [] if key in with_video or stage in ("generate", "judge", "split") else ["no_video"]
            reasons += ["low_coverage"] if key == LOW_COVERAGE else []
            assert outcome[0] == "skipped" and outcome[1] in reasons, (stage, key)
    assert leftovers(real_run.root) == []


def test_a_second_run_finds_nothing_to_do(real_run):
    assert "all is done: nothing to do" in run(real_run.root, real_run.commands()[-1][0])


@pytest.mark.parametrize("dataset", SOURCES)
def test_every_frame_shows_its_half_second(real_run, dataset, read_code):
    frames = reader(real_run.root, dataset, "frames", "extract")
    for key in real_run.recordings[dataset]:
        item = frames.read(key)
        info = read_json(item, "video.json")
        times = picture_times(real_run.video(dataset, key))
        assert info["num_frames"] == math.floor(times[-1] * 2) + 1
        assert not info["partial"] and info["problems"] == []
        shown = [bisect_right(times, Fraction(j, 2)) - 1 for j in range(info["num_frames"])]
        assert [read_code(picture) for picture in pictures_of(item)] == shown, key
        assert info["pts_s"] == [pytest.approx(float(times[n]), abs=1e-6) for n in shown]
        nominal = [math.floor(Fraction(j, 2) * RATES[dataset]) for j in range(len(shown))]
        if dataset == "wtag":
            # Two pictures of this MPEG file are stamped one picture late, where a header lies across two packets.
            assert sum(a != b for a, b in zip(shown, nominal, strict=True)) <= 2
        else:
            assert shown == nominal


@pytest.mark.parametrize("dataset", SOURCES)
def test_features_have_a_row_per_frame(real_run, dataset):
    frames = reader(real_run.root, dataset, "frames", "extract")
    features = reader(real_run.root, dataset, "features/tiny", "encode")
    for key in real_run.encoded(dataset):
        num_frames = read_json(frames.read(key), "video.json")["num_frames"]
        assert count_rows(features.read(key), "3x3") == count_rows(features.read(key), "cls") == num_frames


def count_rows(item, part: str) -> int:
    headers = [item.read(name)[:128] for name in item.names if name.endswith(f".{part}.npy")]
    return sum(int(header.split(b"'shape': (")[1].split(b",")[0]) for header in headers)


@pytest.mark.parametrize("dataset", SOURCES)
def test_samples_hold_every_kept_dialog_whole_and_once(real_run, dataset):
    parts = defaultdict(list)
    for side, key, record, _ in samples(real_run.root, dataset):
        assert record["split"] == side
        parts[key.rsplit("-", 1)[0]].append(record)
    dialogs = reader(real_run.root, dataset, FOLDERS["generate"], "generate")
    selections = reader(real_run.root, dataset, "splits", "split")
    kept = {}
    for key in set(real_run.recordings[dataset]) - {LOW_COVERAGE}:
        conversations = read_json(dialogs.read(key), "dialogs.json")["conversations"]
        for row in read_json(selections.read(key), "selection.json")["kept"]:
            kept[f"{key}/{row['user_id']}"] = conversations[row["index"]]["conversation"]
    assert parts.keys() == kept.keys() and kept
    for name, records in parts.items():
        records.sort(key=lambda record: record["clip_idx"])
        assert [record["clip_idx"] for record in records] == list(range(len(records)))
        spans = [(record["start_frame_idx"], record["end_frame_idx"]) for record in records]
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans)), "a frame used twice"
        told = [(t["role"], t["time"], t["content"]) for r in records for t in r["conversation"] if "time" in t]
        said = [(turn["role"], turn["time"], turn["content"].strip()) for turn in kept[name]]
        last_answer = max(i for i, turn in enumerate(said) if turn[0] == "assistant")
        assert told == said[: last_answer + 1], name
        assert all(turn["end"] <= num + 3 for turn, num in waits_of(records)), "a turn waits for later pictures"


def waits_of(records):
    """Each run of frames in front of a turn, with the frame at which the turn's own time lies."""
    for record in records:
        for run_of_frames, turn in itertools.pairwise(record["conversation"]):
            if run_of_frames["role"] == "frames" and "time" in turn:
                yield run_of_frames, math.floor(2 * turn["time"])


@pytest.mark.parametrize("dataset", SOURCES)
def test_the_split_is_clean_and_the_loader_reads_it(real_run, dataset, sample_data):
    unit = Layout(real_run.root).unit(dataset, "splits")
    sides = json.loads(unit.assignment.read_text())["recordings"]
    audit = json.loads(unit.audit.read_text())
    if dataset == "captaincook4d":  # the publisher's own sides are kept, and its people are on several of them
        path = "captaincook4d/annotations/data_splits/recordings_data_split_combined.json"
        published = json.loads((sample_data / path).read_text())
        assert sides == {name: side for side, names in published.items() for name in names}
        assert audit["shared_participants"] == {"3": ["train", "test"], "4": ["train", "val"]}
    else:
        assert audit["shared_participants"] == {}
    assert audit["moved"] == []
    found = defaultdict(int)
    for side, _, record, _ in samples(real_run.root, dataset):
        assert sides[record["video_uid"]] == side
        found[side] += 1
    for side, count in found.items():
        folder = Layout(real_run.root).unit(dataset, PREPARED).root
        assert sum(1 for _ in iter_samples(folder, side, use_weights=False)) == count


def test_the_same_dialogs_by_both_rules(real_run):
    """The numbers of docs/differences.md that come from dialogs."""
    (recording,) = dialog_differences.iter_recordings(real_run.root, "holoassist")
    ages = list(dialog_differences.picture_ages(recording))
    assert 14 < max(age for age, _ in ages) < 15  # the reference shows what was filmed that many seconds before
    assert max(age for _, age in ages) < 1.04  # half a second or one by the rule, and one source frame
    reference, here = (dialog_differences.pack([recording], compat) for compat in (True, False))
    assert reference["frames twice"] > 100 and here["frames twice"] == 0
    assert reference["answers"] == here["answers"]


def test_numbers_from_the_publishers_lists(sample_data):
    """The numbers of docs/differences.md that come from annotations: EPIC-KITCHENS' list is complete."""
    videos = source_differences.read_epic_videos(sample_data)
    assert [sum(video.drift_s > limit for video in videos) for limit in (5, 10, 20)] == [275, 194, 95]
    assert max(video.drift_s for video in videos) == pytest.approx(236.4, abs=0.05)
    first = source_differences.read_holoassist_videos(sample_data)[0]
    assert (first.reference_frames, first.exact_frames) == (510, 479)
    assert first.drift_s == pytest.approx(15.21, abs=0.005)


# Real footage: file -> frames at 2 per second, and facts about the source that the extractor must have found.
FOOTAGE = {
    "ego_kitchen_a.mp4": (50, {"codec": "h264"}),
    "ego_kitchen_b.mp4": (50, {"codec": "h264"}),
    "ego_kitchen_c.webm": (50, {"codec": "vp9"}),
    "ego_kitchen_d.mpeg": (50, {"codec": "mpeg2video", "start_s": 0.533333}),
    "ego_kitchen_sound_5s.mp4": (10, {"codec": "h264"}),
    "cc4d_order_error_mosaic_3200x360.mp4": (10, {"width": 3200, "height": 360}),
    "nasa_13013.mp4": (26, {"stream": 3, "width": 480}),
    "av1_video.mkv": (10, {"container": "matroska,webm", "width": 640}),
    "h265_10bits.mp4": (2, {"codec": "hevc", "pix_fmt": "yuv420p10le"}),
    "rotated_90.mov": (1, {"rotation_deg": 270}),
}


def recording_of(file: str) -> str:
    return f"R910-FOOTAGE-{file.split('.')[0]}"


@pytest.fixture(scope="module")
def footage(sample_data, tmp_path_factory) -> Path:
    """Real video files as recordings of an invented HoloAssist, after extract and encode."""
    root = tmp_path_factory.mktemp("footage")
    folder = root / "datasets" / "holoassist"
    records = []
    for file in FOOTAGE:
        video = root / "datasets" / VIDEOS["holoassist"].format(recording_of(file))
        video.parent.mkdir(parents=True)
        shutil.copyfile(sample_data / "video" / file, video)  # the name says .mp4 whatever it holds
        action = {"start": 0.0, "end": 25.0, "attributes": {"Action sentence": "The student does something."}}
        length = {"duration": {"raw": "00:00:25.00", "seconds": 25}}
        records.append({"video_name": recording_of(file), "events": [action], "videoMetadata": length})
    (folder / "data-annotation-trainval-v1_1.json").write_text(json.dumps(records))
    (folder / "train-v1_2.txt").write_text("\n".join(recording_of(file) for file in FOOTAGE))
    (folder / "val-v1_2.txt").write_text("not-at-hand\n")
    # batches are padded to their full size, and most of these videos are short
    run(root, words_of("stage=extract,encode", "dataset=holoassist", "encode.batch_size=10", launcher="local"))
    return root


@pytest.mark.parametrize("file", FOOTAGE)
def test_real_footage_gives_frames_and_a_feature_row_for_each(footage, file):
    num_frames, facts = FOOTAGE[file]
    item = reader(footage, "holoassist", "frames", "extract").read(recording_of(file))
    info = read_json(item, "video.json")
    assert info["num_frames"] == len(pictures_of(item)) == num_frames
    assert facts.items() <= info["sources"][0].items()
    features = reader(footage, "holoassist", "features/tiny", "encode").read(recording_of(file))
    for part in ("cls", "2x2", "3x3"):
        assert count_rows(features, part) == num_frames


@pytest.mark.parametrize("file", [file for file in FOOTAGE if "sound" not in file and "ego" in file])
def test_scenes_change_on_the_exact_picture(footage, file):
    """The scene changes at pictures 150, 300, 450 and 600: frame 10 must be picture 150, not 149 and not 151."""
    item = reader(footage, "holoassist", "frames", "extract").read(recording_of(file))
    assert read_json(item, "video.json")["pts_s"] == [pytest.approx(j / 2, abs=1e-6) for j in range(50)]
    frames = [picture.astype(int) for picture in pictures_of(item)]
    video = footage / "datasets" / VIDEOS["holoassist"].format(recording_of(file))
    around = decoded(video, [n for change in (150, 300, 450, 600) for n in range(change - 1, change + 3)])
    for change in (150, 300, 450, 600):
        distance = {n: np.abs(frames[change // 15] - around[n]).mean() for n in range(change - 1, change + 3)}
        assert min(distance, key=distance.__getitem__) == change, distance
        assert distance[change - 1] > 5 * distance[change]


def decoded(video: Path, numbers: list[int]) -> dict[int, np.ndarray]:
    """Pictures of a file by ffmpeg's command line, counted from its beginning, cropped and scaled as frames are."""
    select = "+".join(f"eq(n\\,{number})" for number in numbers)
    chain = f"select={select},crop=360:360,scale=384:384:flags=bicubic,format=gray"
    command = ["ffmpeg", "-v", "error", "-i", str(video), "-vf", chain, "-vsync", "passthrough", "-f", "rawvideo", "-"]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    pictures = np.frombuffer(data, np.uint8).reshape(len(numbers), 384, 384).astype(int)
    return dict(zip(numbers, pictures, strict=True))
