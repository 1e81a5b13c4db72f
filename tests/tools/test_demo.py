"""The demonstration: numbered pictures at exact times, a sample that the readers take, one command for all."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.compose import compose_command
from launchers.jobs import Job, Sources, resolve_jobs
from launchers.prepare import assign_sides
from mmassist.core.errors import ConfigError
from mmassist.core.item import Geometry
from mmassist.datasets import list_datasets
from mmassist.io.atomic import write_json
from mmassist.io.layout import Layout, UnitLayout
from mmassist.video import VideoConfig
from mmassist.video.decoder import Decoder
from tools.demo import holoassist, wtag
from tools.demo.check import expected_number
from tools.demo.frame_code import HEIGHT, MAX_NUMBER, WIDTH, draw_picture, read_number
from tools.demo.publication import list_publications, publish, write_publication
from tools.demo.sample import DATASETS, FULL, SMALL, make_sample, shortened
from tools.demo.summary import sum_records
from tools.demo.video import HOLOASSIST_FPS, WTAG_FPS, write_mp4, write_mpeg

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = shortened(("R902-3May-Watch", "T1"), 0.1)


def jobs_of(root: Path, stage: str) -> tuple[Layout, list[Job]]:
    return resolve_jobs(
        compose_command([f"stage={stage}", "dataset=holoassist,wtag", "models=tiny", f"paths.data_root={root}"])
    )


# ---- pictures


@given(st.integers(0, MAX_NUMBER), st.floats(0, 1), st.integers(40, 130))
def test_a_picture_says_its_number(number: int, share: float, brightness: int) -> None:
    grey = draw_picture(number, share, brightness, (110, 150))[:HEIGHT]
    left = (WIDTH - HEIGHT) // 2
    assert read_number(grey) == number
    assert read_number(grey[:, left : left + HEIGHT]) == number
    assert read_number(np.kron(grey, np.ones((3, 3)))) == number


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_plain_picture_has_no_number(value: int) -> None:
    assert read_number(np.full((384, 384), value, np.uint8)) is None


def test_a_number_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 9999"):
        draw_picture(10_000, 0, 60, (128, 128))


# ---- videos


@pytest.mark.parametrize(("write", "fps"), [(write_mp4, HOLOASSIST_FPS), (write_mpeg, WTAG_FPS)])
def test_every_picture_has_its_exact_time(tmp_path: Path, write, fps: Fraction) -> None:  # type: ignore[no-untyped-def]
    import av

    path = tmp_path / "video"
    write(path, 11.0, fps, [4.0])
    with av.open(path) as container:
        stream = container.streams.video[0]
        pictures = [
            (frame.pts * stream.time_base, frame.to_ndarray(format="gray")) for frame in container.decode(stream)
        ]
    assert len(pictures) == round(11 * fps)
    start = pictures[0][0]
    assert (start > 0) == (write is write_mpeg)  # a program stream begins above 0
    for number, (time_s, picture) in enumerate(pictures):
        assert read_number(picture) == number
        assert abs(time_s - start - number / fps) <= Fraction(1, 2 * 90_000)


def test_extracted_frames_are_the_ones_on_the_screen(demo_root: Path) -> None:
    import simplejpeg

    videos = sorted((demo_root / "datasets").rglob("*.mp4")) + sorted((demo_root / "datasets").rglob("*.mpeg"))
    assert len(videos) == 6
    for path in videos:
        fps = HOLOASSIST_FPS if path.suffix == ".mp4" else WTAG_FPS
        with Decoder(VideoConfig(isolated=False)) as decoder:
            for index, jpeg in decoder.extract([path], Geometry()):
                grey = simplejpeg.decode_jpeg(jpeg, colorspace="GRAY")[:, :, 0]
                assert read_number(grey) == expected_number(index, fps)


# ---- the sample


def test_layout_is_the_publishers(demo_root: Path) -> None:
    for recording in SMALL.recordings:
        video = f"video_pitch_shifted/{recording.name}/Export_py/Video_pitchshift.mp4"
        assert (demo_root / "datasets" / "holoassist" / video).is_file()
    text = (demo_root / "datasets/holoassist/data-annotation-trainval-v1_1.json").read_text()
    assert "\n" not in text
    record = json.loads(text)[0]
    assert record["videoMetadata"]["duration"]["seconds"] == int(
        float(record["videoMetadata"]["duration"]["raw"].split(":")[-1])
    )
    assert {event["label"] for event in record["events"]} == {
        "Narration",
        "Conversation",
        "Coarse grained action",
        "Fine grained action",
    }
    folder = demo_root / "datasets/WTaG/T1"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == [
        "StepDetection/StepDetection.txt",
        "TextASR/InstructorAnnotations_intent.txt",
        "TextASR/UserAnnotations_intent.txt",
        "Video/Video.mpeg",
        "Video/VideoMpegTiming.txt",
    ]
    first, last = map(int, (folder / "Video/VideoMpegTiming.txt").read_text().split())
    rows = [line.split("\t") for line in (folder / "StepDetection/StepDetection.txt").read_text().splitlines()]
    assert (rows[0][2], rows[-1][2]) == ("Start", "Done")
    assert all(first <= int(row[0]) < int(row[1]) <= last for row in rows)


@pytest.mark.parametrize("sample", [FULL, SMALL])
def test_every_side_gets_recordings(tmp_path: Path, sample) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path, sample)
    layout, jobs = jobs_of(tmp_path, "split")
    sources = Sources(layout)
    for job in jobs:
        sides = assign_sides(layout, job, sources.listing(job), is_anew=False)
        assert set(sides.recordings.values()) == {"train", "val", "test"}
        if sample is FULL and job.dataset == "holoassist":
            assert [move["recording"] for move in sides.audit["moved"]] == ["R901-5May-Watch"]
            assert sides.recordings["R901-5May-Watch"] == "train"


def test_annotations_are_read_without_repairs(tmp_path: Path) -> None:
    write_texts(tmp_path, FULL)
    layout, jobs = jobs_of(tmp_path, "generate")
    for job in jobs:
        adapter = job.adapter(layout)
        listing = adapter.list_items()
        assert len(listing.dialogs) == 8
        goals = set()
        for item in listing.dialogs:
            annotation = adapter.load_annotation(item)
            goals.add(annotation.goal)
            assert {drop.reason for drop in annotation.drops} <= {
                "verb that says nothing about progress",
                "before the start",
            }
            assert annotation.ann_ratio > 0.6
            assert any(substep.role == "user" for step in annotation.steps for substep in step.substeps)
            assert annotation.has_mistake == (job.dataset == "holoassist")
        assert len(goals) == (4 if job.dataset == "holoassist" else 3)


def test_the_sample_is_made_once_and_always_the_same(tmp_path: Path) -> None:
    assert make_sample(tmp_path / "a", TINY)
    before = hashes(tmp_path / "a")
    assert not make_sample(tmp_path / "a", TINY)
    assert make_sample(tmp_path / "b", TINY)
    assert hashes(tmp_path / "b") == before


def test_an_interrupted_making_goes_on(tmp_path: Path) -> None:
    def stop_after_one(paths: list[Path]):  # type: ignore[no-untyped-def]
        yield paths[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_sample(tmp_path, TINY, track=stop_after_one)
    (first,) = (path for path in tmp_path.rglob("*") if path.suffix in (".mp4", ".mpeg"))
    stamp = first.stat().st_mtime_ns
    assert make_sample(tmp_path, TINY)
    assert first.stat().st_mtime_ns == stamp
    assert len([path for path in tmp_path.rglob("*") if path.suffix in (".mp4", ".mpeg")]) == 2
    assert not list(tmp_path.rglob("*.tmp"))


def test_other_data_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    with pytest.raises(ConfigError, match="use another folder"):
        make_sample(tmp_path, TINY)


# ---- the summary


def test_totals_are_sums_over_the_records(tmp_path: Path) -> None:
    unit = UnitLayout(tmp_path / "prepared")
    for task, num_samples in (("train-000000", 4), ("train-000001", 2), ("val-000000", 1)):
        record = {
            "outcomes": {f"{task}-a": {"status": "done"}, f"{task}-b": {"status": "skipped"}},
            "stats": {"samples": num_samples},
            "files": {"shard": {"size": 1000}, "index": {"size": 10}},
        }
        write_json(unit.record(task), record)
    totals = sum_records("pack", "wtag", unit)
    assert totals.statuses == {"done": 3, "skipped": 3}
    assert totals.stats["samples"] == 7
    assert {side: stats["samples"] for side, stats in totals.by_side.items()} == {"train": 6, "val": 1}
    assert (totals.num_shards, totals.num_bytes) == (3, 3030)


# ---- the command


@pytest.mark.slow
def test_the_demonstration_runs_stops_and_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.demo", "--root", str(tmp_path)]
    process = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, stderr=subprocess.PIPE, text=True)
    frames = Layout(tmp_path).unit("holoassist", "frames")
    while process.poll() is None and not list(frames.root.rglob("*.part")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert "stopped" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    first = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    for line in ("holoassist", "8 done", "samples", "train", "val", "test"):
        assert line in first.stdout
    assert " 0 train" not in first.stdout and " 0 val" not in first.stdout and " 0 test" not in first.stdout
    assert "1226 of 1226 frames show exactly the picture of their time" in first.stdout
    assert "1270 of 1270 frames" in first.stdout
    before = hashes(tmp_path / "processed_data")
    second = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "all is done" in second.stdout
    assert hashes(tmp_path / "processed_data") == before


def write_texts(root: Path, sample) -> None:  # type: ignore[no-untyped-def]
    """The annotations alone: planning opens no video."""
    made = {
        **{f"{holoassist.RAW_DIR}/{k}": v for k, v in holoassist.build_texts(sample.recordings).items()},
        **{f"{wtag.RAW_DIR}/{k}": v for k, v in wtag.build_texts(sample.sessions).items()},
    }
    for name, content in made.items():
        path = root / "datasets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content) if name.endswith(".json") else "".join(f"{line}\n" for line in content))


def hashes(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_other_source_has_a_sample_of_its_own(tmp_path):
    names = list_publications()
    assert sorted({*names, *DATASETS}) == list_datasets()
    assert write_publication(tmp_path, publish("egoobjects")) is True
    assert write_publication(tmp_path, publish("egoobjects")) is False
    (tmp_path / "datasets" / "EgoObjects" / "EgoObjectsV1_unified_train.json").unlink()
    assert write_publication(tmp_path, publish("egoobjects")) is True


def test_an_unknown_sample_is_refused_with_the_nearest_name():
    done = subprocess.run([sys.executable, "-m", "tools.demo", "--dataset", "lava"], capture_output=True, text=True)
    assert done.returncode == 2 and "there is no sample of it. Did you mean 'llava'?" in done.stderr
