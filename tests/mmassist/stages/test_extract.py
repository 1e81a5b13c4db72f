"""The extract stage: what a video's length is held against, and what video.json says about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mmassist.core.errors import ItemError, Kind
from mmassist.core.item import Item, ItemKind
from mmassist.stages.extract import Extract
from tests.mmassist.video.coded import constant_times, write_coded

pytestmark = pytest.mark.long

pytest.importorskip("av")
pytest.importorskip("simplejpeg")

LENGTH_S = 20
WITHOUT_LENGTH: list[tuple[str, dict[str, Any]]] = [
    ("v.ts", {}),
    ("v.mpeg", {"codec": "mpeg2video"}),
    ("v.mkv", {"container_options": {"live": "1"}}),
    ("v.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
    ("v.mp4", {"container_options": {"movflags": "frag_keyframe"}}),  # the first fragment lies in the header
]
WITH_LENGTH: list[tuple[str, dict[str, Any]]] = [("v.mp4", {}), ("v.mkv", {}), ("v.avi", {"codec": "mpeg4"})]


@dataclass
class Place:
    """A context with nothing but a folder of sources."""

    data_root: Path
    compat: bool = False


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path)


def run(place: Place, name: str, duration_s: float | None, **config: Any) -> tuple[dict[str, Any], dict[str, float]]:
    item = Item("demo", "v", ItemKind.MEDIA, "train", (name,), "d", "v", duration_s)
    stage = Extract({"extract": Extract.sections["extract"]({"isolated": False, "size": 64, **config}, "extract")})
    outputs = asyncio.run(stage.process(item, place))  # type: ignore[arg-type]
    members = dict(outputs.members)  # type: ignore[arg-type]
    return json.loads(members["video.json"]), outputs.stats


def write(place: Place, name: str, options: dict[str, Any]) -> None:
    write_coded(place.data_root / name, *constant_times(Fraction(30), LENGTH_S), **options)


@pytest.mark.parametrize(("name", "options"), WITHOUT_LENGTH)
def test_without_a_length_in_the_container_the_sources_length_must_be_reached(
    place: Place, name: str, options: dict[str, Any]
) -> None:
    write(place, name, options)
    info, stats = run(place, name, LENGTH_S + 4.9)
    assert not info["sources"][0]["states_length"] and not info["partial"] and info["problems"] == []
    assert stats["partial_videos"] == 0 and "length_differs" not in stats

    said = r"only (19|20)\.\d\d s of the 26\.00 s that the source states are readable"
    with pytest.raises(ItemError, match=rf"^{said} in .*{name}$") as caught:
        run(place, name, 26.0)
    assert caught.value.kind == Kind.PERMANENT
    info, stats = run(place, name, 26.0, accept_partial=True)
    assert info["partial"] and stats["partial_videos"] == 1 and stats["frames"] == 40
    (problem,) = info["problems"]
    assert problem.startswith("only ") and problem.endswith("of the 26.00 s that the source states are readable")


def test_a_long_video_may_end_five_percent_early(place: Place) -> None:
    times, time_base = constant_times(Fraction(1), 200)
    write_coded(place.data_root / "v.ts", times, time_base)
    assert not run(place, "v.ts", 210.0)[0]["partial"]
    with pytest.raises(ItemError, match=r"of the 212\.00 s"):
        run(place, "v.ts", 212.0)


@pytest.mark.parametrize(("name", "options"), WITH_LENGTH)
@pytest.mark.parametrize("stated_s", [10.0, 40.0])
def test_a_container_that_states_its_length_is_believed(
    place: Place, name: str, options: dict[str, Any], stated_s: float
) -> None:
    write(place, name, options)
    info, stats = run(place, name, stated_s)
    assert info["sources"][0]["states_length"] and not info["partial"]
    assert info["problems"] == [f"the video lasts 20.00 s, the source states {stated_s:.2f} s"]
    assert (stats["length_differs"], stats["partial_videos"]) == (1, 0)
    for close_s in (15.5, 24.5, None):
        info, stats = run(place, name, close_s)
        assert info["problems"] == [] and "length_differs" not in stats


def test_a_program_stream_is_never_complete_wherever_it_is_cut(place: Place) -> None:
    write(place, "v.mpeg", {"codec": "mpeg2video"})
    whole = (place.data_root / "v.mpeg").read_bytes()
    packs = len(whole) // 2048
    for pack in range(packs // 4, packs // 2, max(1, packs // 40)):
        (place.data_root / "v.mpeg").write_bytes(whole[: pack * 2048])
        with pytest.raises(ItemError, match="readable"):
            run(place, "v.mpeg", float(LENGTH_S))
