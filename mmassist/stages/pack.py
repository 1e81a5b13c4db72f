"""pack: dialogs or captions to token samples with labels, one group of shard members per sample."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from mmassist.core.adapter import Content
from mmassist.core.annotation import Request
from mmassist.core.config import build
from mmassist.core.errors import ItemError, Kind, Skip
from mmassist.core.fingerprint import canonical_json
from mmassist.core.item import KEY_PATTERN, Drop, Item, ItemKind
from mmassist.core.stage import Context, Member, Outputs, Section, Stage
from mmassist.datasets import adapter_class, build_dataset_config
from mmassist.dialog.record import read_record
from mmassist.io.npy import npy_bytes
from mmassist.packing.caption_sample import CaptionBuilder
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import load_messages
from mmassist.packing.features import FeatureReader
from mmassist.packing.frame_store import load_frame_store, load_store
from mmassist.packing.indexing import shift
from mmassist.packing.record import CaptionItem, Dialog
from mmassist.packing.report import FillReport
from mmassist.packing.sample import (
    PackConfig,
    Sample,
    SampleBuilder,
    SetupConfig,
    build_setup_config,
    sequence_limit,
)
from mmassist.packing.tokenizer import (
    TokenizerConfig,
    build_tokenizer_config,
    check_tokenizer,
    shared_tokenizer,
    tokenizer_revision,
)
from mmassist.packing.wording import wording_revision

# What the output folders of captions begin with: the names of the reference's files.
PREFIXES = {
    Request.NARRATE_WEARER: "narration",
    Request.DESCRIBE_CLIP: "narration",
    Request.CAPTION_IMAGE: "caption",
    Request.LIST_OBJECTS: "detection",
}
ONE_FRAME_EACH = (Request.CAPTION_IMAGE, Request.LIST_OBJECTS)
# How the ledger of drops says why a caption is in no sample.
DROP_REASONS = {
    "repeated": "the same text at the same moment",
    "empty": "no text",
    "no_time": "no time",
    "no_picture": "picture missing or unreadable",
    "after_end": "beyond the video",
    "too_long": "too long for a sample",
}


class Pack(Stage):
    """Members of one sample: ``<name>.{features.npy,input_ids.npy,json,labels.npy}``.

    ``name`` is ``<user_id>-<clip>`` for dialogs and ``<clip>`` for captions. The plain webdataset package groups the
    members as one sample with key ``<item key>/<name>``; nothing else lies in the shards, so a loop over them sees
    samples only. What was left out is in the task's statistics.

    What the source holds decides what is read, and which settings count: the setup is one of dialogs alone. The
    source's own settings already count through ``generate`` where dialogs are read.
    """

    name: ClassVar[str] = "pack"
    place: ClassVar[int] = 60
    home: ClassVar[str] = "prepared"
    version: ClassVar[int] = 2
    kind: ClassVar[ItemKind] = ItemKind.DIALOG
    reads: ClassVar[tuple[str, ...]] = ("extract", "generate", "split")
    sections: ClassVar[dict[str, Section]] = {
        "dataset": build_dataset_config,
        "pack": partial(build, PackConfig),
        "setup": build_setup_config,
        "tokenizer": build_tokenizer_config,
    }
    reads_side: ClassVar[bool] = True

    def __init__(self, configs: dict[str, Any]):
        self._request = _request_of(configs)
        if self._request in ONE_FRAME_EACH:  # nothing to separate: no setting may make a second copy of the folder
            configs = {**configs, "pack": replace(configs["pack"], separator="none")}
        unused = "dataset" if self._request is None else "setup"
        super().__init__({name: config for name, config in configs.items() if name != unused})
        self._config: PackConfig = configs["pack"]
        self._setup: SetupConfig = configs["setup"]
        self._tokenizer: TokenizerConfig = configs["tokenizer"]
        self._dialog_builder: SampleBuilder | None = None
        self._caption_builder: CaptionBuilder | None = None
        if self._request is not None:
            self.reads = ("extract",)  # type: ignore[misc]
            self.reads_source = True
        if self._config.include_features:
            self.reads = (*self.reads, "encode")  # type: ignore[misc]

    @classmethod
    def folder(cls, configs: dict[str, Any]) -> str:
        config: PackConfig = configs["pack"]
        request = _request_of(configs)
        if request is None:
            prefix, limit = configs["setup"].name, sequence_limit(config, configs["setup"])
        else:
            prefix, limit = PREFIXES[request], config.max_seq_len
        suffix = "" if config.separator in ("", "none") else "+SEP"
        return f"{cls.home}/{prefix}_L{limit}_I{config.image_tokens}{suffix}"

    def check(self) -> None:
        check_tokenizer(self._tokenizer)

    def revision(self) -> dict[str, Any]:
        return {"tokenizer": tokenizer_revision(self._tokenizer), "wording": wording_revision(self._request)}

    def group(self, item: Item, split: str) -> str:
        return split

    def setup(self, ctx: Context) -> None:
        chat = ChatFormat(shared_tokenizer(self._tokenizer), self._config.image_tokens, self._config.separator)
        if self._request is None:
            self._dialog_builder = SampleBuilder(self._config, self._setup, chat, ctx.compat)
        else:
            self._caption_builder = CaptionBuilder(self._config, self._request, chat)

    async def process(self, item: Item, ctx: Context) -> Outputs:
        report = FillReport()
        drops: list[Drop] = []
        if self._request is None:
            samples = self._pack_dialogs(item, ctx, report)
        else:
            samples, drops = self._pack_captions(item, self._request, ctx, report)
        if not samples:
            raise Skip("no_samples", report.reasons(), drops)
        features = None
        if self._config.include_features:
            features = FeatureReader(ctx.read("encode", _media_key(item)), self._config.image_tokens)
        return Outputs(members=_iter_members(samples, features), stats=report.stats(), drops=drops)

    def _pack_captions(
        self, item: Item, request: Request, ctx: Context, report: FillReport
    ) -> tuple[list[Sample], list[Drop]]:
        assert self._caption_builder is not None, "setup() comes first"
        track = ctx.adapter.load_captions(item)
        captions = CaptionItem(
            dataset=item.dataset,
            item_key=item.key,
            video_uid=_media_key(item),
            side=ctx.side(item),
            request=request,
            captions=track.captions,
            offset_s=item.time_offset_s,
        )
        report.count("dropped_records", len(track.drops))
        store = load_store(_media_key(item), _video(item, ctx))
        samples = self._caption_builder.build(captions, store, report)
        left_out = [
            Drop(item.recording, caption.record or f"caption {caption.text!r}", DROP_REASONS[reason])
            for caption, reason in report.captions_left_out
        ]
        return samples, [*track.drops, *sorted(left_out, key=lambda drop: (drop.record, drop.reason))]

    def _pack_dialogs(self, item: Item, ctx: Context, report: FillReport) -> list[Sample]:
        assert self._dialog_builder is not None, "setup() comes first"
        store = load_frame_store(_media_key(item), _video(item, ctx))
        samples: list[Sample] = []
        for dialog in self._dialogs(item, ctx, report):
            samples += self._dialog_builder.build(dialog, store, report)
        return samples

    def _dialogs(self, item: Item, ctx: Context, report: FillReport) -> list[Dialog]:
        """The selected dialogs; for summaries only the first of each type of user, the others would repeat it."""
        generated = read_record(ctx.read("generate", item.key).read("dialogs.json"))
        selection = _read_json(ctx, "split", item.key, "selection.json")
        dialogs = [_dialog(item, generated, kept, selection["side"]) for kept in selection["kept"]]
        if len({dialog.user_id for dialog in dialogs}) < len(dialogs):
            raise ItemError(Kind.PERMANENT, "a user_id is selected twice; its samples would have the same names")
        if not self._setup.summary_only:
            return dialogs
        first: dict[str, Dialog] = {}
        for dialog in dialogs:
            first.setdefault(dialog.user_type, dialog)
        report.drop("dialogs", "not_first", len(dialogs) - len(first))
        return list(first.values())


def _request_of(configs: Mapping[str, Any]) -> Request | None:
    """What is asked about the pictures of the source, None where it holds dialogs."""
    if "dataset" not in configs:
        return None
    adapter = adapter_class(configs["dataset"].name)
    return adapter.request if adapter.content is Content.CAPTION else None


def _read_json(ctx: Context, stage: str, key: str, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(ctx.read(stage, key).read(name)))
    except ValueError as error:
        raise ItemError(Kind.PERMANENT, f"{name} of {key} is not a JSON object: {error}") from error


def _media_key(item: Item) -> str:
    return item.media_key or item.key


def _video(item: Item, ctx: Context) -> dict[str, Any]:
    return _read_json(ctx, "extract", _media_key(item), "video.json")


def _dialog(item: Item, generated: Mapping[str, Any], kept: Mapping[str, Any], side: str) -> Dialog:
    """One selected dialog with its times moved from the annotation's to the media's clock."""
    index, user_id = kept["index"], str(kept["user_id"])
    conversations = generated["conversations"]
    if not 0 <= index < len(conversations):
        raise ItemError(Kind.PERMANENT, f"dialog {index} is selected, but there are {len(conversations)}")
    if not KEY_PATTERN.fullmatch(user_id):
        raise ItemError(Kind.PERMANENT, f"user_id {user_id!r} does not match {KEY_PATTERN.pattern}")
    messages = load_messages(conversations[index]["conversation"], f"dialog {index} ({user_id})")
    return Dialog(
        dataset=item.dataset,
        item_key=item.key,
        video_uid=str(generated["video_uid"]),
        side=side,
        user_type=str(kept["user_type"]),
        user_id=user_id,
        messages=tuple(shift(messages, item.time_offset_s)),
        start_s=float(generated["parsed_video_anns"]["video_start_time"] or 0.0) + item.time_offset_s,
        goal=str(generated.get("inferred_goal") or ""),
        knowledge=str(generated.get("inferred_knowledge") or ""),
        quality=kept.get("score"),
        weight=float(kept.get("weight", 1.0)),
        generator=str(generated["generator"] or generated["gen_args"].get("llm") or ""),
        is_scripted=bool(generated.get("is_scripted", False)),
    )


def _iter_members(samples: list[Sample], features: FeatureReader | None) -> Iterator[Member]:
    for sample in sorted(samples, key=lambda s: s.name):
        record = sample.record
        if features is not None:
            record = {**record, "features": features.description}
            start, end = record["start_frame_idx"], record["end_frame_idx"]
            yield f"{sample.name}.features.npy", npy_bytes(features.read(start, end))
        yield f"{sample.name}.input_ids.npy", npy_bytes(sample.input_ids)
        yield f"{sample.name}.json", canonical_json(record).encode()
        yield f"{sample.name}.labels.npy", npy_bytes(sample.labels)
