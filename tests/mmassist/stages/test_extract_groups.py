"""The extract stage on pictures and clips: one frame store per group, and no member that costs another."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import simplejpeg
from PIL import Image

from mmassist.core.errors import ItemError, Kind, Skip
from mmassist.core.item import UPRIGHT, Drop, Geometry, Item, ItemKind, Medium
from mmassist.core.stage import Outputs
from mmassist.stages.encode import list_frames
from mmassist.stages.extract import Extract
from mmassist.video import VideoConfig, extract_frames
from mmassist.video.sampling import reference_stride
from tests.mmassist.video.coded import (
    coded_picture,
    constant_times,
    expected_numbers,
    read_jpeg_number,
    write_coded,
)
from tools.demo import frame_code

pytestmark = pytest.mark.long

RATE = Fraction(30000, 1001)
COMMON = ["dataset", "fps", "key", "licence", "medium", "members", "num_frames", "partial", "problems", "recording"]


@dataclass
class Place:
    """A context with nothing but a folder of sources."""

    data_root: Path
    compat: bool = False


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def write_picture(place: Place, name: str, number: int) -> str:
    Image.fromarray(coded_picture(number)).convert("RGB").save(place.data_root / name)
    return name


def write_clip(place: Place, name: str, first_number: int, seconds: float = 2.2, **options: Any) -> str:
    write_coded(place.data_root / name, *constant_times(RATE, seconds), first_number=first_number, **options)
    return name


def start(
    place: Place, medium: Medium, sources: Sequence[str], geometry: Geometry = UPRIGHT, **config: Any
) -> tuple[Extract, Outputs]:
    item = Item(
        *("demo", "group", ItemKind.MEDIA, "train", tuple(sources), "d", "group"),
        duration_s=60.0,
        geometry=geometry,
        licence="free",
        medium=medium,
    )
    values = {"isolated": False, "size": 64, "jpeg_quality": 95, **config}
    stage = Extract({"extract": Extract.sections["extract"](values, "extract")})
    return stage, asyncio.run(stage.process(item, place))  # type: ignore[arg-type]


@dataclass
class Store:
    """What a group became; also an item reader."""

    members: dict[str, bytes]
    video: dict[str, Any]
    outputs: Outputs
    digest: str = ""

    @property
    def names(self) -> list[str]:
        return list(self.members)

    def read(self, name: str) -> bytes:
        return self.members[name]

    def verify(self) -> None:
        return None

    @property
    def numbers(self) -> list[int]:
        return [read_jpeg_number(self.members[name]) for name in self.names[:-1]]

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return [(member["start"], member["end"]) for member in self.video["members"]]

    @property
    def bad(self) -> dict[int, str]:
        """Problem of each member that has one, by position."""
        return {i: m["problem"] for i, m in enumerate(self.video["members"]) if "problem" in m}


def extract(place: Place, medium: Medium, sources: Sequence[str], geometry: Geometry = UPRIGHT, **config: Any) -> Store:
    stage, outputs = start(place, medium, sources, geometry, **config)
    try:
        listed = list(outputs.members)  # type: ignore[arg-type]
    finally:
        stage.close()
    assert [name for name, _ in listed] == sorted({name for name, _ in listed})
    members = dict(listed)
    store = Store(members, json.loads(members["video.json"]), outputs)
    frames = [f"{i:06d}.jpg" for i in range(store.video["num_frames"])]
    assert store.names == [*frames, "video.json"]
    assert [member["path"] for member in store.video["members"]] == list(sources)
    assert outputs.stats["frames"] == len(frames) and outputs.stats["members"] == len(sources)
    return store


def test_every_picture_is_one_frame_in_the_order_of_the_sources(place: Place) -> None:
    names = [write_picture(place, f"{number}.png", number) for number in range(0, 40, 3)]
    random.Random(1).shuffle(names)
    store = extract(place, Medium.IMAGES, names)
    assert store.numbers == [int(Path(name).stem) for name in names]
    assert store.ranges == [(i, i + 1) for i in range(len(names))]
    video = store.video
    assert sorted(video) == sorted([*COMMON, "size"])
    assert (video["fps"], video["medium"], video["size"], video["partial"]) == (None, "images", 64, False)
    assert (video["key"], video["dataset"], video["recording"], video["licence"]) == ("group", "demo", "group", "free")
    assert sorted(video["members"][0]) == ["digest", "end", "height", "path", "start", "width"]
    assert video["problems"] == [] and store.outputs.drops == [] and store.outputs.stats["dropped_pictures"] == 0


def test_a_picture_named_twice_is_there_twice(place: Place) -> None:
    names = [write_picture(place, "1.png", 1), write_picture(place, "2.png", 2), "1.png"]
    assert extract(place, Medium.IMAGES, names).numbers == [1, 2, 1]


def test_the_demonstrations_pictures_can_be_read_after_the_crop(place: Place) -> None:
    import av

    for number in (7, 4095):
        planes = frame_code.draw_picture(number, 0.5, 80, (110, 150))
        rgb = av.VideoFrame.from_ndarray(planes, format="yuv420p").to_ndarray(format="rgb24")
        Image.fromarray(rgb).save(place.data_root / f"{number}.jpg", quality=92)
    store = extract(place, Medium.IMAGES, ["7.jpg", "4095.jpg"], size=384, jpeg_quality=90)
    seen = [simplejpeg.decode_jpeg(store.read(name), colorspace="GRAY")[:, :, 0] for name in store.names[:-1]]
    assert [frame_code.read_number(picture) for picture in seen] == [7, 4095]


def test_bad_pictures_cost_themselves_alone(place: Place) -> None:
    names = [write_picture(place, "a.png", 10), "absent.png", write_picture(place, "b.png", 11), "empty.png"]
    names += [
        "folder.png",
        "text.png",
        write_picture(place, "cut.png", 12),
        "link.png",
        write_picture(place, "c.png", 13),
    ]
    (place.data_root / "empty.png").touch()
    (place.data_root / "folder.png").mkdir()
    (place.data_root / "text.png").write_text("words\nwords")
    (place.data_root / "cut.png").write_bytes((place.data_root / "cut.png").read_bytes()[:-40])
    (place.data_root / "link.png").symlink_to("gone.png")
    names += ["zero\0.png", "x" * 300]
    store = extract(place, Medium.IMAGES, names)
    assert store.numbers == [10, 11, 13]
    assert store.ranges == [(0, 1), (1, 1), (1, 2), (2, 2), (2, 2), (2, 2), (2, 2), (2, 2), (2, 3), (3, 3), (3, 3)]
    assert store.bad == {
        1: "does not exist",
        3: "the file is empty",
        4: "a folder, not a picture file",
        5: "not a picture in any known format",
        6: store.bad[6],
        7: "does not exist",
        9: "no file can have such a name",
        10: "File name too long",
    }
    assert store.bad[6].startswith("damaged (")
    assert store.video["partial"]
    assert store.video["problems"] == [f"{names[i]}: {problem}" for i, problem in store.bad.items()]
    assert str(place.data_root) not in store.read("video.json").decode()
    reasons = ["does not exist" if i in (1, 7) else "cannot be read" for i in store.bad]
    assert store.outputs.drops == [Drop("group", names[i], r) for i, r in zip(store.bad, reasons, strict=True)]
    assert store.outputs.stats["dropped_pictures"] == 8


def test_a_name_that_is_no_text_fits_into_the_record(place: Place) -> None:
    write_picture(place, "a.png", 3)
    stage, outputs = start(place, Medium.IMAGES, ["a.png", "half\ud800.png", os.fsdecode(b"byte\xff.png")])
    members = dict(outputs.members)  # type: ignore[arg-type]
    stage.close()
    assert [m["path"] for m in json.loads(members["video.json"])["members"][1:]] == [
        "half\\ud800.png",
        "byte\\udcff.png",
    ]
    assert outputs.drops[0].record == "half\\ud800.png"


@pytest.mark.parametrize("medium", [Medium.IMAGES, Medium.CLIPS])
def test_nothing_there_is_skipped_and_nothing_readable_fails(place: Place, medium: Medium) -> None:
    with pytest.raises(Skip, match=r"none of its 2 files exists, the first is a\.png") as skipped:
        extract(place, medium, ["a.png", "sub/b.png"])
    assert skipped.value.reason == "no_video"
    (place.data_root / "c.png").write_bytes(b"words")
    with pytest.raises(ItemError, match=r"none of its 3 files can be read: c\.png: .*not a ") as failed:
        extract(place, medium, ["a.png", "c.png", "c.png"])
    assert failed.value.kind == Kind.PERMANENT


def test_squash_and_crop(place: Place) -> None:
    write_picture(place, "a.png", 5)
    picture = Image.new("L", (300, 100), 20)
    picture.paste(240, (100, 0, 200, 100))
    picture.save(place.data_root / "wide.png")
    for fit, edge in (("crop", 240), ("squash", 20)):
        store = extract(place, Medium.IMAGES, ["wide.png"], Geometry(fit=fit))
        assert abs(int(simplejpeg.decode_jpeg(store.read("000000.jpg"))[32, 3, 0]) - edge) < 5


def test_a_thousand_pictures_are_never_held_together(place: Place) -> None:
    write_picture(place, "a.png", 5)
    stage, outputs = start(place, Medium.IMAGES, ["a.png"] * 1000)
    members = iter(outputs.members)  # type: ignore[arg-type]
    assert next(members)[0] == "000000.jpg"
    (place.data_root / "a.png").rename(place.data_root / "b.png")  # what is not read yet is not there any more
    write_picture(place, "a.png", 6)
    assert read_jpeg_number(next(members)[1]) == 6
    members.close()  # type: ignore[attr-defined]
    stage.close()


def test_every_clip_is_sampled_from_its_own_beginning(place: Place) -> None:
    lengths = [2.2, 0.3, 3.0, 1.0]
    names = [write_clip(place, f"{i}.mp4", 100 * i, length) for i, length in enumerate(lengths)]
    store = extract(place, Medium.CLIPS, names)
    expected = [expected_numbers(constant_times(RATE, s)[0], first_number=100 * i) for i, s in enumerate(lengths)]
    assert store.numbers == list(itertools.chain(*expected))
    assert [end - start for start, end in store.ranges] == [len(numbers) for numbers in expected]
    for i, (member, numbers) in enumerate(zip(store.video["members"], expected, strict=True)):
        assert member["pts_s"] == [pytest.approx((n - 100 * i) / RATE, abs=1e-6) for n in numbers]
        assert sorted(member) == ["digest", "end", "path", "pts_s", "start"]
    assert (store.video["fps"], store.video["medium"], store.video["partial"]) == (2.0, "clips", False)
    assert sorted(store.video) == sorted([*COMMON, "size"])
    assert store.outputs.stats["video_s"] == pytest.approx(sum(lengths), abs=0.15)
    assert store.outputs.stats["dropped_clips"] == 0


def test_a_clips_frames_are_those_of_the_clip_as_a_video(place: Place) -> None:
    names = [write_clip(place, "a.mp4", 0), write_clip(place, "b.webm", 50, codec="libvpx-vp9")]
    store = extract(place, Medium.CLIPS, names, size=128)
    config = VideoConfig(size=128, jpeg_quality=95, isolated=False)
    alone = [jpeg for n in names for _, jpeg in extract_frames([place.data_root / n], UPRIGHT, config, False)]
    assert [store.read(name) for name in store.names[:-1]] == alone


def test_the_references_stride_begins_anew_in_every_clip(place: Place) -> None:
    place.compat = True
    names = [write_clip(place, "a.mp4", 0), write_clip(place, "b.mp4", 200)]
    stride = reference_stride(float(RATE), 2)
    num = len(constant_times(RATE, 2.2)[0])
    assert extract(place, Medium.CLIPS, names).numbers == [
        n for first in (0, 200) for n in range(first, first + num, stride)
    ]


def cut(place: Place, name: str, share: float) -> None:
    whole = (place.data_root / name).read_bytes()
    (place.data_root / name).write_bytes(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("isolated", [False, True])
def test_bad_clips_cost_themselves_alone(place: Place, isolated: bool) -> None:
    names = [write_clip(place, "a.mp4", 0), write_clip(place, "cut.mkv", 100, 4.0), "absent.mp4"]
    names += [write_clip(place, "headless.mp4", 200), "picture.mp4", write_clip(place, "b.mp4", 300)]
    cut(place, "cut.mkv", 0.7)
    cut(place, "headless.mp4", 0.5)
    Image.fromarray(coded_picture(1)).save(place.data_root / "picture.mp4", "PNG")
    store = extract(place, Medium.CLIPS, names, isolated=isolated)
    times = constant_times(RATE, 2.2)[0]
    assert store.numbers == expected_numbers(times) + expected_numbers(times, first_number=300)
    assert store.ranges == [(0, 5), (5, 5), (5, 5), (5, 5), (5, 5), (5, 10)]
    assert store.bad[1].startswith("only ") and "readable" in store.bad[1]
    assert store.bad[2] == "does not exist" and "index (moov) is missing" in store.bad[3]
    assert store.bad[4] == "a PNG picture, not a video"
    assert store.video["members"][1]["pts_s"] == [] and store.video["partial"]
    assert [drop.reason for drop in store.outputs.drops] == [
        "cannot be read",
        "does not exist",
        *["cannot be read"] * 2,
    ]
    assert store.outputs.stats["dropped_clips"] == 4 and store.outputs.stats["partial_videos"] == 0


def test_what_is_readable_of_a_clip_is_kept_when_that_is_accepted(place: Place) -> None:
    names = [write_clip(place, "cut.mkv", 100, 4.0), write_clip(place, "b.mp4", 300)]
    cut(place, "cut.mkv", 0.7)
    store = extract(place, Medium.CLIPS, names, accept_partial=True)
    ((_, end), (start_b, end_b)) = store.ranges
    assert 1 < end < 8 and (start_b, end_b) == (end, end + 5)
    whole = expected_numbers(constant_times(RATE, 4.0)[0], first_number=100)
    assert store.numbers[:end] == whole[:end]
    assert list(store.bad) == [0] and store.video["partial"]
    assert store.outputs.drops == [Drop("group", "cut.mkv", "is damaged, readable part kept")]
    assert store.outputs.stats["dropped_clips"] == 0 and store.outputs.stats["partial_videos"] == 1


def test_broken_matroska_is_no_trouble_of_the_disk(place: Place) -> None:
    """FFmpeg reports an input/output error for some of these files; the group must not be tried again for ever."""
    sound = write_clip(place, "a.mp4", 0, 0.5)
    whole = (place.data_root / write_clip(place, "b.webm", 0, 2.0, codec="libvpx-vp9")).read_bytes()
    names = [sound]
    for length in range(20, min(600, len(whole)), 10):
        names.append(f"{length}.webm")
        (place.data_root / names[-1]).write_bytes(whole[:length])
    store = extract(place, Medium.CLIPS, names)
    assert store.ranges[0] == (0, 1) and len(store.bad) >= len(names) // 2
    assert any("Input/output error" in problem for problem in store.bad.values())


@pytest.mark.parametrize("num_failures", [1, 2])
def test_a_disk_that_does_not_answer_fails_the_group_for_now(
    place: Place, monkeypatch: pytest.MonkeyPatch, num_failures: int
) -> None:
    names = [write_picture(place, f"{number}.png", number) for number in range(3)]
    plain, left = Path.read_bytes, [num_failures]

    def read_bytes(path: Path) -> bytes:
        if path.name == "1.png" and left[0]:
            left[0] -= 1
            raise OSError(5, "Input/output error")
        return plain(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    if num_failures == 1:  # over at once
        assert extract(place, Medium.IMAGES, names).numbers == [0, 1, 2]
        return
    with pytest.raises(ItemError, match=r"1\.png: Input/output error") as caught:
        extract(place, Medium.IMAGES, names)
    assert caught.value.kind == Kind.TRANSIENT


class Breaker:
    """Kills the decoder process as soon as it has begun with one clip, a number of times."""

    def __init__(self, stage: Extract, monkeypatch: pytest.MonkeyPatch, name: str, times: int, number: int):
        assert stage._decoder is not None
        self.left, decoder, plain = times, stage._decoder, stage._decoder.extract

        def extract(paths: Sequence[Path], *rest: Any) -> Iterator[Any]:
            stream = plain(paths, *rest)
            if paths[0].name == name and self.left:
                self.left -= 1
                next(stream)
                assert decoder.pid
                os.kill(decoder.pid, number)
            return stream

        monkeypatch.setattr(decoder, "extract", extract)


@pytest.mark.parametrize(
    ("times", "number"), [(1, signal.SIGSEGV), (2, signal.SIGSEGV), (1, signal.SIGKILL), (2, signal.SIGKILL)]
)
def test_a_clip_that_takes_the_decoder_down_twice_is_left_out(
    place: Place, monkeypatch: pytest.MonkeyPatch, times: int, number: int
) -> None:
    names = [write_clip(place, f"{i}.mp4", 100 * i, 30.0 if i == 1 else 1.0) for i in range(3)]
    stage, outputs = start(place, Medium.CLIPS, names, isolated=True)
    breaker = Breaker(stage, monkeypatch, "1.mp4", times, number)
    try:
        if times == 2 and number == signal.SIGKILL:  # nobody knows whose fault that was
            with pytest.raises(ItemError, match=r"1\.mp4: the decoder process died .*SIGKILL") as caught:
                list(outputs.members)  # type: ignore[arg-type]
            assert caught.value.kind == Kind.CRASH
            return
        video = json.loads(dict(outputs.members)["video.json"])  # type: ignore[arg-type]
    finally:
        stage.close()
    assert breaker.left == 0
    lengths = [member["end"] - member["start"] for member in video["members"]]
    if times == 1:
        assert lengths == [2, 60, 2] and not video["partial"]
    else:
        assert lengths == [2, 0, 2]
        assert video["members"][1]["problem"].startswith("the decoder process died") and video["partial"]


@pytest.mark.parametrize("medium", [Medium.IMAGES, Medium.CLIPS])
def test_the_same_bytes_in_and_out_of_process_and_every_time(place: Place, medium: Medium) -> None:
    write = write_picture if medium is Medium.IMAGES else write_clip
    suffix = "png" if medium is Medium.IMAGES else "mp4"
    names = [write(place, f"{i}.{suffix}", 50 * i) for i in range(3)]
    names.insert(1, "absent")
    stores = [extract(place, medium, names, isolated=isolated).members for isolated in (False, True, False)]
    assert stores[0] == stores[1] == stores[2]


def test_the_encoder_finds_the_frames_of_a_group(place: Place) -> None:
    names = [write_picture(place, "a.png", 1), "absent.png", write_picture(place, "b.png", 2)]
    store = extract(place, Medium.IMAGES, names, size=384)
    assert list_frames(store) == (["000000.jpg", "000001.jpg"], 384)
