"""The pack stage over sources of captions: what it reads, where it writes, what it leaves out and says so."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmassist.datasets
from launchers.jobs import settings_of
from mmassist.core.annotation import Caption, CaptionTrack, Request
from mmassist.core.config import meaning
from mmassist.core.errors import ItemError, Skip
from mmassist.core.fingerprint import digest
from mmassist.core.item import Drop, Item, ItemKind
from mmassist.core.stage import Outputs
from mmassist.io.npy import npy_bytes
from mmassist.loader import iter_samples
from mmassist.packing.wording import REQUESTS
from mmassist.stages.pack import Pack
from tests.mmassist.stages.test_pack import DATASET, Stored, as_json

pytest.importorskip("tokenizers")

SOURCE = """
from dataclasses import dataclass

from mmassist.core.annotation import Request
from mmassist.datasets.base import CaptionAdapter, SourceConfig


@dataclass(frozen=True)
class Config(SourceConfig):
    detail: int = 1


class Adapter(CaptionAdapter):
    request = Request({request!r})
"""
ITEM = Item("toy", "group-1", ItemKind.DIALOG, "train", (), "d", "group 1", media_key="group-1")


@pytest.fixture(scope="module", autouse=True)
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One source of captions per request, beside the shipped ones."""
    folder = tmp_path_factory.mktemp("datasets")
    for request in Request:
        (folder / f"toy_{request}.py").write_text(SOURCE.format(request=str(request)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmassist.datasets, "__path__", [*mmassist.datasets.__path__, str(folder)])
        yield
    for request in Request:
        sys.modules.pop(f"mmassist.datasets.toy_{request}", None)


@dataclass
class Reader:
    """Captions as an adapter gives them."""

    captions: list[Caption]
    drops: list[Drop] = field(default_factory=list)

    def load_captions(self, item: Item) -> CaptionTrack:
        return CaptionTrack("toy", item.key, tuple(self.captions), tuple(self.drops))


@dataclass
class Ctx:
    """A context whose frame store lies in memory; anything else that is asked for is an error."""

    adapter: Reader
    video: dict[str, Any]
    compat: bool = False
    features: dict[str, bytes] = field(default_factory=dict)

    def read(self, stage: str, key: str) -> Stored:
        return {
            ("extract", "group-1"): Stored({"video.json": as_json(self.video)}),
            ("encode", "group-1"): Stored(self.features),
        }[stage, key]

    def side(self, item: Item) -> str:
        return "val"


def images(num: int, missing: tuple[int, ...] = ()) -> dict[str, Any]:
    """The video.json of ``num`` pictures."""
    members: list[dict[str, Any]] = []
    end = 0
    for n in range(num):
        members.append({"path": f"{n}.jpg", "start": end, "end": end + (n not in missing)})
        if n in missing:
            members[-1]["problem"] = "does not exist"
        end = members[-1]["end"]
    return {"medium": "images", "fps": None, "num_frames": end, "members": members, "partial": bool(missing)}


def sections(request: Request = Request.CAPTION_IMAGE, detail: int = 1, setup: str = "a", **pack: Any) -> Any:
    config = {"name": f"toy_{request}", "raw_dir": "x", "licence": "", "homepage": "", "detail": detail}
    return {
        "dataset": config,
        "pack": {"max_seq_len": 400, "image_tokens": 5, **pack},
        "setup": {"name": setup, "knowledge": True, "summary": False, "full_length": setup == "whole"},
        "tokenizer": {"name": "tiny"},
        "extract": {},
        "encode": {},
        "encoder": {"name": "tiny", "engine": "tiny"},
    }


def stage(request: Request = Request.CAPTION_IMAGE, **values: Any) -> Pack:
    made = sections(request, **values)
    return Pack({name: build(made[name], name) for name, build in Pack.sections.items()})


def run(made: Pack, ctx: Ctx) -> tuple[list[tuple[str, bytes]], Outputs]:
    made.setup(ctx)  # type: ignore[arg-type]
    outputs = asyncio.run(made.process(ITEM, ctx))  # type: ignore[arg-type]
    return list(outputs.members), outputs  # type: ignore[arg-type]


def pictures(num: int) -> list[Caption]:
    return [Caption(f"Picture {n}.", member=n, record=f"row {n}") for n in range(num)]


def write_shard(folder: Path, members: list[tuple[str, bytes]]) -> Path:
    (folder / "shards").mkdir(parents=True)
    with tarfile.open(folder / "shards" / "val-000000.tar", "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(f"{ITEM.key}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return folder


def test_folders_are_named_as_in_the_reference_whatever_the_setup() -> None:
    folders = {request: Pack.folder(stage(request).configs) for request in Request}
    assert folders == {
        Request.NARRATE_WEARER: "prepared/narration_L400_I5",
        Request.DESCRIBE_CLIP: "prepared/narration_L400_I5",
        Request.CAPTION_IMAGE: "prepared/caption_L400_I5",
        Request.LIST_OBJECTS: "prepared/detection_L400_I5",
    }
    clips = stage(Request.DESCRIBE_CLIP, setup="whole", separator="EOS")
    assert Pack.folder(clips.configs) == "prepared/narration_L400_I5+SEP"
    # between single pictures there is nothing to separate, so another setting makes no other samples
    pictures = stage(Request.CAPTION_IMAGE, separator="EOS")
    assert Pack.folder(pictures.configs) == "prepared/caption_L400_I5"
    assert meaning(pictures.configs["pack"]) == meaning(stage(Request.CAPTION_IMAGE).configs["pack"])


def test_the_setup_is_no_setting_of_captions_and_the_source_is() -> None:
    def fingerprint(**values: Any) -> str:
        return digest(settings_of(stage(**values), sections(**values), compat=False))

    assert set(stage().configs) == {"dataset", "pack", "tokenizer"}
    assert fingerprint() == fingerprint(setup="whole")
    assert len({fingerprint(), fingerprint(detail=2), fingerprint(seed=1), fingerprint(include_features=True)}) == 4


def test_captions_are_read_from_the_source_and_its_frames() -> None:
    assert stage().reads == ("extract",) and stage().reads_source
    assert stage(include_features=True).reads == ("extract", "encode")
    assert Pack.reads == ("extract", "generate", "split") and not Pack.reads_source
    dialogs = {**sections(), "dataset": DATASET}
    assert Pack({name: build(dialogs[name], name) for name, build in Pack.sections.items()}).reads == Pack.reads


def test_samples_stream_through_the_loader(tmp_path: Path) -> None:
    members, outputs = run(stage(), Ctx(Reader(pictures(60)), images(60)))
    names = [name for name, _ in members]
    assert names == sorted(names)
    assert names[:3] == ["0000.input_ids.npy", "0000.json", "0000.labels.npy"]
    samples = list(iter_samples(write_shard(tmp_path / "unit", members), "val", seed=3, neg_frame_sampling_rate=0.1))
    assert len(samples) == outputs.stats["samples"] > 2
    assert {s["key"] for s in samples} == {f"group-1/{n:04d}" for n in range(len(samples))}
    said = [t["content"] for s in samples for t in s["record"]["conversation"] if t["role"] == "assistant"]
    assert sorted(said) == sorted(caption.text for caption in pictures(60))
    record = samples[0]["record"]
    assert record["split"] == "val" and record["fps"] is None
    assert record["dataset"] == "toy" and record["video_uid"] == record["frames"]["key"] == "group-1"
    assert record["conversation"][0]["content"] in REQUESTS[Request.CAPTION_IMAGE]


def test_silence_of_clips_is_thinned_by_the_loader(tmp_path: Path) -> None:
    members = [{"path": str(n), "start": 6 * n, "end": 6 * n + 6} for n in range(10)]
    video = {"medium": "clips", "fps": 2.0, "num_frames": 60, "members": members}
    made, _ = run(stage(Request.DESCRIBE_CLIP, max_seq_len=4096), Ctx(Reader(pictures(10)), video))
    folder = write_shard(tmp_path / "unit", made)

    def num_silent(rate: float) -> int:
        (sample,) = iter_samples(folder, "val", neg_frame_sampling_rate=rate)
        ids = sample["record"]["tokenizer"]
        is_taught = (sample["labels"] != -100) & (sample["labels"] != ids["start_header_id"])
        return int((is_taught & (sample["input_ids"] == ids["image_id"])).sum())

    assert (num_silent(1.0), num_silent(0.4), num_silent(0.0)) == (10 * 5, 10 * 2, 0)


def test_narrations_of_a_video() -> None:
    captions = [Caption(f"C does {n}.", time_s=4.0 * n, record=f"n{n}") for n in range(40)]
    video = {"num_frames": 300, "fps": 2.0, "partial": True}
    members, outputs = run(stage(Request.NARRATE_WEARER, keep_context_s=[1, 3]), Ctx(Reader(captions), video))
    records = [json.loads(data) for name, data in members if name.endswith(".json")]
    assert all(r["conversation"][0]["content"] in REQUESTS[Request.NARRATE_WEARER] for r in records)
    assert all(r["fps"] == 2.0 and r["frames"]["is_partial"] for r in records)
    assert outputs.stats["captions"] == 38
    assert outputs.stats["dropped_captions_after_end"] == 2
    assert outputs.drops == [Drop("group 1", f"n{n}", "beyond the video") for n in (38, 39)]


def test_everything_left_out_is_named() -> None:
    captions = [*pictures(4), Caption("", member=0, record="row 4"), Caption("word " * 900, member=2)]
    own = Drop("group 1", "row 9", "no caption")
    _, outputs = run(stage(), Ctx(Reader(captions, [own]), images(4, missing=(1,))))
    assert outputs.drops[0] == own
    assert {(d.record[:12], d.reason) for d in outputs.drops[1:]} == {
        ("row 1", "picture missing or unreadable"),
        ("row 4", "no text"),
        ("caption 'wor", "too long for a sample"),
    }
    assert {drop.recording for drop in outputs.drops} == {"group 1"}
    assert outputs.stats["dropped_records"] == 1
    dropped = {name: value for name, value in outputs.stats.items() if name.startswith("dropped_captions")}
    assert dropped == {f"dropped_captions_{reason}": 1.0 for reason in ("empty", "no_picture", "too_long")}


def test_nothing_left_is_a_decision_with_its_reason() -> None:
    with pytest.raises(Skip, match="captions_no_picture 3") as caught:
        run(stage(), Ctx(Reader(pictures(3)), images(3, missing=(0, 1, 2))))
    assert caught.value.reason == "no_samples"
    with pytest.raises(Skip):
        run(stage(), Ctx(Reader([]), images(3)))


def test_a_frame_store_of_fewer_files_fails_the_item() -> None:
    with pytest.raises(ItemError, match="stage=extract"):
        run(stage(), Ctx(Reader(pictures(4)), images(3)))


def test_same_bytes_every_time_whatever_the_order_and_the_rules() -> None:
    first, _ = run(stage(), Ctx(Reader(pictures(50)), images(50)))
    again, _ = run(stage(setup="whole"), Ctx(Reader(pictures(50)[::-1]), images(50), compat=True))
    assert first == again


def test_features_are_the_rows_of_the_sample() -> None:
    rows = np.random.default_rng(0).random((60, 5, 4), dtype=np.float32).astype(np.float16)
    features = {
        f"{chunk:06d}.{part}.npy": npy_bytes(rows[chunk * 16 : chunk * 16 + 16, tokens])
        for chunk in range(4)
        for part, tokens in (("cls", slice(0, 1)), ("2x2", slice(1, 5)))
    }
    made_by = {"encoder": "tiny", "is_random": True, "layer": "last", "dim": 4}
    features["features.json"] = as_json({"num_frames": 60, "chunk_frames": 16, "grids": [2], **made_by})
    ctx = Ctx(Reader(pictures(60)), images(60), features=features)
    members = dict(run(stage(include_features=True), ctx)[0])
    ends = []
    for name, data in members.items():
        if name.endswith(".json"):
            record = json.loads(data)
            start, end = record["start_frame_idx"], record["end_frame_idx"]
            stored = np.load(io.BytesIO(members[name.replace(".json", ".features.npy")]))
            assert (stored == rows[start:end]).all()
            ends.append((start, end))
    assert [start for start, _ in ends] == [0, *(end for _, end in ends[:-1])]
    assert ends[-1][1] == 60
