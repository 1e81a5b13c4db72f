"""Captions to samples: each in exactly one or in the report, frames without a gap, budget kept, order of no meaning."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmassist.core.annotation import Caption, Request
from mmassist.core.errors import ItemError
from mmassist.packing.caption_sample import CaptionBuilder
from mmassist.packing.chat_format import ChatFormat, decode_conversation
from mmassist.packing.conversation import Frames
from mmassist.packing.frame_store import FrameStore, GroupStore, load_store
from mmassist.packing.labels import IGNORE
from mmassist.packing.record import CaptionItem
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, Sample
from mmassist.packing.wording import PERSONAS, REQUESTS, wording_revision

pytest.importorskip("tokenizers")

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def images(num: int, missing: tuple[int, ...] = (), per_member: int = 1, fps: float | None = None) -> GroupStore:
    """``num`` members of ``per_member`` frames each; those ``missing`` have none."""
    runs: list[Frames | None] = []
    end = 0
    for member in range(num):
        if member in missing:
            runs.append(None)
        else:
            runs.append(Frames(end, end + per_member))
            end += per_member
    return GroupStore("group", end, fps, tuple(runs), bool(missing))


def item(captions: list[Caption], request: Request = Request.CAPTION_IMAGE, **fields: Any) -> CaptionItem:
    values: dict[str, Any] = {"dataset": "toy", "item_key": "I1", "video_uid": "group", "side": "train", **fields}
    return CaptionItem(request=request, captions=tuple(captions), **values)


@pytest.fixture
def make(tokenizer):  # type: ignore[no-untyped-def]
    def build(
        captions: list[Caption], store: FrameStore | GroupStore, request: Request = Request.CAPTION_IMAGE, **pack: Any
    ) -> tuple[list[Sample], FillReport]:
        offset_s = pack.pop("offset_s", 0.0)
        config = replace(PackConfig(), **{"max_seq_len": 400, "keep_context_s": (1.0, 3.0), **pack})
        chat = ChatFormat(tokenizer, config.image_tokens, config.separator)
        report = FillReport()
        packed = item(captions, request, offset_s=offset_s)
        return CaptionBuilder(config, request, chat).build(packed, store, report), report

    return build


def narrate(make: Any, captions: list[Caption], num_frames: int, **pack: Any) -> tuple[list[Sample], FillReport]:
    made: tuple[list[Sample], FillReport] = make(
        captions, FrameStore("video", num_frames), Request.NARRATE_WEARER, **pack
    )
    return made


def shown(samples: list[Sample]) -> list[tuple[int, int, str]]:
    """First frame, end and text of every pair in all samples."""
    found = []
    for sample in samples:
        turns = sample.record["conversation"][1:]
        assert [t["role"] for t in turns] == ["frames", "assistant"] * (len(turns) // 2)
        for run, message in zip(turns[::2], turns[1::2], strict=True):
            found.append((run["start"], run["end"], message["content"]))
    return found


def left_out(report: FillReport) -> list[tuple[str, str]]:
    return sorted((caption.record, reason) for caption, reason in report.captions_left_out)


def content(samples: list[Sample]) -> list[bytes]:
    return [
        s.name.encode() + s.input_ids.tobytes() + s.labels.tobytes() + json.dumps(s.record, sort_keys=True).encode()
        for s in samples
    ]


def check(samples: list[Sample], store: FrameStore | GroupStore, limit: int) -> None:
    """What holds for every sample."""
    assert [s.name for s in samples] == [f"{n:04d}" for n in range(len(samples))]
    for sample in samples:
        record = sample.record
        runs = [(t["start"], t["end"]) for t in record["conversation"] if t["role"] == "frames"]
        assert all(start < end for start, end in runs)
        assert all(a[1] == b[0] for a, b in itertools.pairwise(runs))
        assert (record["start_frame_idx"], record["end_frame_idx"]) == (runs[0][0], runs[-1][1])
        assert runs[-1][1] <= store.num_frames
        assert len(sample.input_ids) == len(sample.labels) == record["seq_len"] <= limit


def test_every_image_is_in_a_sample_the_last_one_too(make) -> None:  # type: ignore[no-untyped-def]
    captions = [Caption(f"Picture {n}.", member=n) for n in range(100)]
    samples, report = make(captions, images(100))
    assert shown(samples) == [(n, n + 1, f"Picture {n}.") for n in range(100)]
    assert 4 < len(samples) < 12  # about 380 tokens of 400 are used
    assert report.stats()["captions"] == 100 and report.captions_left_out == []
    assert report.stats()["tokens"] / report.stats()["capacity_tokens"] > 0.85
    check(samples, images(100), 400)


def test_one_image_is_one_sample(make) -> None:  # type: ignore[no-untyped-def]
    ((sample,), _) = make([Caption(" A cup. ")], images(1))
    assert [t["role"] for t in sample.record["conversation"]] == ["system", "frames", "assistant"]
    assert sample.record["conversation"][2]["content"] == "A cup."
    assert sample.record["conversation"][0]["content"] in REQUESTS[Request.CAPTION_IMAGE]


def test_a_sample_may_be_exactly_full(make) -> None:  # type: ignore[no-untyped-def]
    captions = [Caption("A cup.", member=n) for n in range(10)]
    (whole,), _ = make(captions, images(10), max_seq_len=4096)
    length = len(whole.input_ids)
    assert len(make(captions, images(10), max_seq_len=length)[0]) == 1
    assert len(make(captions, images(10), max_seq_len=length - 1)[0]) == 2


def test_unreadable_pictures_cost_their_own_captions_alone(make) -> None:  # type: ignore[no-untyped-def]
    captions = [Caption(f"Picture {n}.", member=n, record=f"row {n}") for n in range(6)]
    samples, report = make(captions, images(6, missing=(0, 3, 5)))
    assert shown(samples) == [(0, 1, "Picture 1."), (1, 2, "Picture 2."), (2, 3, "Picture 4.")]
    assert len(samples) == 1
    assert left_out(report) == [(f"row {n}", "no_picture") for n in (0, 3, 5)]
    assert report.stats()["dropped_captions_no_picture"] == 3


@pytest.mark.parametrize("member", [3, -1])
def test_a_caption_of_a_member_that_is_not_stored_fails_the_item(make, member: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ItemError, match=f"stage=extract on_stale=rebuild: 3 members, a caption of number {member}"):
        make([Caption("A.", member=member)], images(3))


def test_a_caption_of_another_picture_than_the_stored_one_fails_the_item(make) -> None:  # type: ignore[no-untyped-def]
    store = replace(images(2), files=("0.jpg", "2.jpg"))
    ((sample,), _) = make([Caption("A.", 0, "0.jpg"), Caption("C.", 1, "2.jpg")], store)
    assert sample.record["end_frame_idx"] == 2
    with pytest.raises(ItemError, match=r"on_stale=rebuild: 2\.jpg at place 1 instead of 1\.jpg"):
        make([Caption("A.", 0, "0.jpg"), Caption("B.", 1, "1.jpg")], store)


def test_a_caption_too_long_for_a_sample_leaves_alone(make) -> None:  # type: ignore[no-untyped-def]
    texts = ["One.", "word " * 600, "Two."]
    samples, report = make([Caption(t, member=n, record=str(n)) for n, t in enumerate(texts)], images(3))
    assert shown(samples) == [(0, 1, "One."), (2, 3, "Two.")]
    assert len(samples) == 2  # frames of one sample follow on each other
    assert left_out(report) == [("1", "too_long")]
    assert report.stats()["dropped_frames_not_packed"] == 1


def test_texts_that_are_none_leave(make) -> None:  # type: ignore[no-untyped-def]
    samples, report = make([Caption(" \n", member=0, record="a"), Caption("B.", member=1)], images(2))
    assert shown(samples) == [(1, 2, "B.")]
    assert left_out(report) == [("a", "empty")]
    samples, report = narrate(make, [Caption("", time_s=1.0, record="a"), Caption("C waits.", time_s=1.0)], 9)
    assert shown(samples) == [(0, 4, "C waits.")]
    assert left_out(report) == [("a", "empty")]


def test_several_captions_of_one_image_are_in_different_samples(make) -> None:  # type: ignore[no-untyped-def]
    captions = [Caption(f"{word} {n}.", member=n) for word in ("First", "Second") for n in range(4)]
    samples, _ = make(captions, images(4))
    assert [[t[2] for t in shown([s])] for s in samples] == [
        [f"{word} {n}." for n in range(4)] for word in ("First", "Second")
    ]


@pytest.mark.parametrize("separator", ["none", "EOS"])
def test_clips_are_whole_runs_and_teach_silence_before_their_last_frame(make, separator: str) -> None:  # type: ignore[no-untyped-def]
    store = images(5, per_member=4, fps=2.0)
    captions = [Caption(f"Doing {n}.", member=n) for n in range(5)]
    samples, _ = make(captions, store, Request.DESCRIBE_CLIP, separator=separator, image_tokens=5)
    assert shown(samples) == [(4 * n, 4 * n + 4, f"Doing {n}.") for n in range(5)]
    header = samples[0].record["tokenizer"]["start_header_id"]
    image = samples[0].record["tokenizer"]["image_id"]
    silent = sum(int(((s.input_ids == image) & (s.labels != IGNORE) & (s.labels != header)).sum()) for s in samples)
    assert silent == 5 * 3
    assert all(s.record["fps"] == 2.0 for s in samples)


def test_images_teach_no_silence(make) -> None:  # type: ignore[no-untyped-def]
    (sample,), _ = make([Caption(f"{n}.", member=n) for n in range(5)], images(5))
    taught = sample.labels[(sample.input_ids == sample.record["tokenizer"]["image_id"])]
    assert set(taught[taught != IGNORE]) == {sample.record["tokenizer"]["start_header_id"]}
    assert np.count_nonzero(taught != IGNORE) == 5


def test_narrations_come_behind_the_first_frame_after_their_moment(make) -> None:  # type: ignore[no-untyped-def]
    times = [0.0, 1.0, 2.2, 2.4, 4.999, 9.4]
    samples, report = narrate(make, [Caption(f"C at {t}.", time_s=t) for t in times], 20)
    # frame n is taken at n / 2 s; the last frame is number 19, at 9.5 s
    assert shown(samples) == [
        (0, 2, "C at 0.0."),
        (2, 4, "C at 1.0."),
        (4, 6, "C at 2.2. C at 2.4."),
        (6, 11, "C at 4.999."),
        (11, 20, "C at 9.4."),
    ]
    assert report.stats()["captions"] == 6 and report.stats()["answers"] == 5


def test_the_last_narration_is_said_behind_the_last_frame(make) -> None:  # type: ignore[no-untyped-def]
    told = (("C stops.", 9.7, "x"), ("C rests.", 10.0, "y"), ("C leaves.", 10.5, "z"))
    samples, report = narrate(make, [Caption(text, time_s=t, record=name) for text, t, name in told], 20)
    assert shown(samples) == [(0, 20, "C stops. C rests.")]
    assert left_out(report) == [("z", "after_end")]


def test_the_same_text_at_one_moment_is_said_once(make) -> None:  # type: ignore[no-untyped-def]
    captions = [Caption("C cuts.", time_s=3.1), Caption("C eats.", time_s=3.2), Caption("C cuts. ", time_s=3.3)]
    samples, report = narrate(make, captions, 20)
    assert shown(samples) == [(0, 8, "C cuts. C eats.")]
    assert report.stats()["captions"] == 2 and report.stats()["dropped_captions_repeated"] == 1
    assert samples[0].record["metadata"] == {"request": "narrate_wearer", "captions": 2}
    assert report.stats()["dropped_frames_after_last_turn"] == 12


def test_long_waits_lose_their_middle_at_a_cut(make) -> None:  # type: ignore[no-untyped-def]
    captions = [Caption(f"C does thing {n}.", time_s=10.0 + 20 * n) for n in range(20)]
    samples, report = narrate(make, captions, 1000, image_tokens=1, max_seq_len=100)
    assert [text for _, _, text in shown(samples)] == [f"C does thing {n}." for n in range(20)]
    assert {end - start for start, end, _ in shown(samples)} <= set(range(2, 42))
    assert report.stats()["dropped_frames_silence"] > 0
    for sample in samples[1:]:  # what is left of the wait is what fits, and never less than a second
        run = sample.record["conversation"][1]
        assert run["end"] - run["start"] == 40 or (run["end"] - run["start"] >= 2 and len(sample.input_ids) == 100)


def test_narrations_of_a_later_part_begin_where_it_does(make) -> None:  # type: ignore[no-untyped-def]
    captions = [Caption("C early.", time_s=-2.0), Caption("C starts.", time_s=1.0)]
    samples, _ = narrate(make, captions, 400, offset_s=100.0)
    assert shown(samples) == [(200, 202, "C early."), (202, 204, "C starts.")]
    assert samples[0].record["conversation"][4]["time"] == 101.0


def test_a_narration_without_a_moment_is_named(make) -> None:  # type: ignore[no-untyped-def]
    captions = [Caption("C a.", record="a"), Caption("C b.", time_s=float("nan"), record="b")]
    samples, report = narrate(make, captions, 400)
    assert samples == []
    assert left_out(report) == [("a", "no_time"), ("b", "no_time")]


def test_record(make) -> None:  # type: ignore[no-untyped-def]
    samples, _ = make([Caption(f"Cup {n}.", member=n) for n in range(60)], images(61, missing=(60,)))
    record = samples[1].record
    assert json.loads(json.dumps(record)) == record
    assert (record["dataset"], record["video_uid"], record["clip_idx"], record["split"]) == ("toy", "group", 1, "train")
    assert record["frames_file"] == "frames/group"
    assert record["frames"] == {"unit": "frames", "key": "group", "is_partial": True}
    assert (record["weight"], record["generator"], record["is_scripted"], record["fps"]) == (1.0, "", False, None)
    assert record["metadata"] == {"request": "caption_image", "captions": len(shown([samples[1]]))}
    assert record["fill"] == round(record["seq_len"] / 400, 4)
    assert set(record["conversation"][2]) == {"role", "content"}


def test_ids_read_back_to_the_record(make, tokenizer) -> None:  # type: ignore[no-untyped-def]
    for separator in ("none", "EOS"):
        captions = [Caption(f"C {n}.", time_s=float(3 * n)) for n in range(30)]
        chat = ChatFormat(tokenizer, 10, separator)
        for sample in narrate(make, captions, 200, separator=separator)[0]:
            expected = [
                ("frames", t["end"] - t["start"]) if t["role"] == "frames" else (t["role"], t["content"])
                for t in sample.record["conversation"]
            ]
            assert decode_conversation(sample.input_ids, chat) == expected


def test_the_wording_is_drawn_per_item_and_sample(make) -> None:  # type: ignore[no-untyped-def]
    samples, _ = make([Caption("x", member=n) for n in range(400)], images(400))
    drawn = [s.record["conversation"][0]["content"] for s in samples]
    assert len(set(drawn)) > 3 and set(drawn) <= set(REQUESTS[Request.CAPTION_IMAGE])
    other, _ = make([Caption("x", member=n) for n in range(400)], images(400), seed=7)
    assert drawn != [s.record["conversation"][0]["content"] for s in other]


def test_wordings() -> None:
    assert {request: len(pool) for request, pool in REQUESTS.items()} == {
        Request.NARRATE_WEARER: 8,
        Request.DESCRIBE_CLIP: 5,
        Request.CAPTION_IMAGE: 6,
        Request.LIST_OBJECTS: 6,
    }
    sentences = [sentence for pool in (*REQUESTS.values(), PERSONAS) for sentence in pool]
    assert len(set(sentences)) == len(sentences)
    assert all(" C" in text or text.startswith("C ") for text in REQUESTS[Request.NARRATE_WEARER])
    assert len({wording_revision(request) for request in (None, *Request)}) == 5


def test_members_are_read_as_extraction_describes_them() -> None:
    video = {
        "medium": "clips",
        "fps": 2.0,
        "num_frames": 7,
        "partial": True,
        "members": [
            {"path": "a", "start": 0, "end": 3},
            {"path": "b", "start": 3, "end": 3, "problem": "no picture"},
            {"path": "c", "start": 3, "end": 7, "problem": "ends too early"},
        ],
    }
    runs = (Frames(0, 3), None, Frames(3, 7))
    assert load_store("g", video) == GroupStore("g", 7, 2.0, runs, True, ("a", "b", "c"))
    for start, end in ((6, 8), (-1, 2), (4, 3)):
        with pytest.raises(ItemError, match="g has 7 frames, d claims"):
            load_store("g", {**video, "members": [{"path": "d", "start": start, "end": end}]})


TEXTS = st.sampled_from(["", " ", "A.", "C does it.", "word " * 20, "word " * 200])


@MANY
@given(
    st.lists(st.tuples(st.integers(0, 99), TEXTS), max_size=40),
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.sampled_from([120, 300, 4096]),
    st.sampled_from([1, 10]),
    st.sampled_from(["none", "EOS"]),
    st.randoms(use_true_random=False),
)
def test_every_caption_of_a_group_once_or_in_the_report(  # type: ignore[no-untyped-def]
    make, members, lengths, limit, image_tokens, separator, rand
) -> None:
    ends = np.cumsum(lengths).tolist()
    runs = tuple(Frames(e - n, e) if n else None for e, n in zip(ends, lengths, strict=True))
    store = GroupStore("g", ends[-1], 2.0, runs)
    captions = [Caption(text, member=member % len(runs), record=str(n)) for n, (member, text) in enumerate(members)]
    pack = {"max_seq_len": limit, "image_tokens": image_tokens, "separator": separator}
    samples, report = make(captions, store, Request.DESCRIBE_CLIP, **pack)
    check(samples, store, limit)
    dropped = {caption.record for caption, _ in report.captions_left_out}
    assert len(dropped) == len(report.captions_left_out)
    expected = Counter(
        (runs[c.member].start, runs[c.member].end, c.text.strip())  # type: ignore[union-attr]
        for c in captions
        if c.record not in dropped
    )
    assert Counter(shown(samples)) == expected
    stats = report.stats()
    assert stats.get("captions", 0) + len(dropped) == len(captions)
    assert sum(v for k, v in stats.items() if k.startswith("dropped_captions_")) == len(dropped)
    for caption, reason in report.captions_left_out:
        has_picture = runs[caption.member] is not None
        assert reason == ("too_long" if has_picture else "no_picture") or not caption.text.strip()
    shuffled = captions[:]
    rand.shuffle(shuffled)
    assert content(make(shuffled, store, Request.DESCRIBE_CLIP, **pack)[0]) == content(samples)


@MANY
@given(
    st.lists(st.tuples(st.floats(-5, 130), TEXTS), max_size=40),
    st.integers(0, 240),
    st.sampled_from([120, 300, 4096]),
    st.sampled_from([0.0, 30.0]),
    st.sampled_from(["none", "EOS"]),
    st.randoms(use_true_random=False),
)
def test_every_narration_once_or_in_the_report(make, told, num_frames, limit, offset_s, separator, rand) -> None:  # type: ignore[no-untyped-def]
    captions = [Caption(text, time_s=t, record=str(n)) for n, (t, text) in enumerate(told)]
    pack = {"max_seq_len": limit, "offset_s": offset_s, "separator": separator}
    samples, report = narrate(make, captions, num_frames, **pack)
    check(samples, FrameStore("video", num_frames), limit)
    dropped = {caption.record: reason for caption, reason in report.captions_left_out}
    assert len(dropped) == len(report.captions_left_out)
    pairs = shown(samples)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(pairs))  # no frame twice
    found = {end: text for _, end, text in pairs}
    said: set[tuple[int, str]] = set()
    for caption in captions:
        assert caption.time_s is not None
        frame = max(int(offset_s * 2), int(max(0.0, caption.time_s + offset_s) * 2 + 1e-6))
        if not caption.text.strip():
            assert dropped[caption.record] == "empty"
        elif frame > num_frames or int(offset_s * 2) >= num_frames:
            assert dropped[caption.record] == "after_end"
        elif caption.record not in dropped:
            assert caption.text.strip() in found[min(frame + 2, num_frames)]
            assert (min(frame + 2, num_frames), caption.text.strip()) not in said
            said.add((min(frame + 2, num_frames), caption.text.strip()))
        else:
            assert dropped[caption.record] in ("too_long", "repeated")
    assert report.stats().get("captions", 0) + len(dropped) == len(captions)
    shuffled = captions[:]
    rand.shuffle(shuffled)
    again, other = narrate(make, shuffled, num_frames, **pack)
    assert content(again) == content(samples) and other.stats() == report.stats()
