"""A finished sample: ids, labels and record agree; settings that cannot work are refused."""

from __future__ import annotations

import json

import pytest

from mmassist.core.config import build, meaning
from mmassist.core.errors import ConfigError
from mmassist.packing.chat_format import decode_conversation
from mmassist.packing.conversation import load_messages
from mmassist.packing.record import FrameStore
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, Sample, build_setup_config

TURNS = [(1.0, "user", "Coffee!"), *((4.0 + 7 * n, "assistant", f"Do step {n}.") for n in range(30))]
STORE = FrameStore("T1", 500, is_partial=True)


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("separator", ["none", "EOS"])
@pytest.mark.parametrize("setup", ["knowledge", "no_knowledge", "summary_only", "full_length"])
def test_ids_read_back_to_the_record(bench, setup, separator, compat) -> None:  # type: ignore[no-untyped-def]
    builder = bench.builder(setup, separator, compat=compat, max_seq_len=1500)
    samples = builder.build(bench.dialog(TURNS), STORE, FillReport())
    assert samples
    for sample in samples:
        expected = [
            ("frames", t["end"] - t["start"]) if t["role"] == "frames" else (t["role"], t["content"])
            for t in sample.record["conversation"]
        ]
        assert decode_conversation(sample.input_ids, builder.chat) == expected


def test_record(bench) -> None:  # type: ignore[no-untyped-def]
    builder = bench.builder(max_seq_len=1500)
    report = FillReport()
    samples = builder.build(bench.dialog(TURNS, generator="scripted", is_scripted=True, weight=2.0), STORE, report)
    record = samples[1].record
    assert samples[1].name == "talk_some_0-0001"
    assert json.loads(json.dumps(record)) == record
    assert record["schema_version"] == 1
    assert (record["dataset"], record["video_uid"], record["clip_idx"], record["split"]) == ("wtag", "T1", 1, "train")
    assert record["frames_file"] == "frames/T1"
    assert record["frames"] == {"unit": "frames", "key": "T1", "is_partial": True}
    assert (record["max_seq_len"], record["num_tokens_per_img"], record["use_img_sep_token"]) == (1500, 10, False)
    assert (record["weight"], record["generator"], record["is_scripted"], record["fps"]) == (2.0, "scripted", True, 2)
    assert record["tokenizer"]["name"] == "tiny"
    assert record["tokenizer"]["image_id"] == builder.chat.tokenizer.image_id
    assert record["fill"] == round(len(samples[1].input_ids) / 1500, 4)
    turn = next(t for t in record["conversation"] if "time" in t)
    assert set(turn) == {"role", "content", "time", "labels"}
    metadata = record["metadata"]
    assert metadata["user_id"] == "talk_some_0" and metadata["quality"] == 7.5
    assert metadata["add_knowledge"] and metadata["has_summary"] and not metadata["summary_only"]
    assert metadata["progress"] == record["conversation"][-1]["content"]
    assert record["conversation"][-3]["content"].startswith("Please summarize")


def test_reference_records_repeat_the_progress(bench) -> None:  # type: ignore[no-untyped-def]
    (sample,) = bench.builder("full_length", compat=True).build(bench.dialog(TURNS), STORE, FillReport())
    assert all("progress" in t for t in sample.record["conversation"] if t["role"] == "assistant")


def test_a_sample_opened_by_the_assistant_holds_the_knowledge(bench) -> None:  # type: ignore[no-untyped-def]
    turns = [
        (2.0, "assistant", "Begin."),
        (4.0, "user", "How?"),
        *((9.0 + 7 * n, "assistant", "Go.") for n in range(9)),
    ]
    samples = bench.builder(max_seq_len=600).build(bench.dialog(turns), STORE, FillReport())
    assert len(samples) > 1
    for sample in samples:
        said = [t["content"] for t in sample.record["conversation"] if t["role"] == "system"]
        assert sample.record["metadata"]["add_knowledge"]
        assert sum("Task knowledge: Making coffee" in text for text in said) == 1


@pytest.mark.parametrize("fps", [0.5, 2.0, 8.0])
def test_kept_context_is_seconds_whatever_the_rate_of_the_store(bench, fps: float) -> None:  # type: ignore[no-untyped-def]
    """What is sure to stay of a wait decides whether the answer behind it has room for another one."""
    turns = [(2.0, "user", "Coffee!"), (4.0, "assistant", "Boil.")]
    turns += [(400.0, "assistant", "Pour. " * 20), (408.0, "assistant", "Wait. " * 20)]
    settings = {"image_tokens": 1, "keep_context_s": (10.0, 10.0)}

    def build(max_seq_len: int) -> list[Sample]:
        builder = bench.builder("no_knowledge", max_seq_len=max_seq_len, **settings)
        return builder.build(bench.dialog(turns, progress=False), FrameStore("T1", 4000, fps), FillReport())

    fewest = next(n for n in range(100, 400) if len(build(n)) == 2 and len(build(n)[1].record["conversation"]) == 5)
    run = next(t for t in build(fewest)[1].record["conversation"] if t["role"] == "frames")
    assert run["end"] - run["start"] == 10 * fps
    assert build(fewest)[0].record["end_frame_idx"] == 4 * fps


def test_frames_after_the_last_turn_are_counted(bench) -> None:  # type: ignore[no-untyped-def]
    for setup, used in (("knowledge", 415), ("full_length", 414)):  # the summary takes one more
        report = FillReport()
        bench.builder(setup, max_seq_len=1 << 20).build(bench.dialog(TURNS), STORE, report)
        assert (report.stats()["frames"], report.stats()["dropped_frames_after_last_turn"]) == (used, 500 - used)


def test_report_adds_up(bench) -> None:  # type: ignore[no-untyped-def]
    report = FillReport()
    samples = bench.builder(max_seq_len=1500).build(bench.dialog(TURNS), STORE, report)
    stats = report.stats()
    assert stats["samples"] == len(samples) == sum(v for k, v in stats.items() if k.startswith("fill_"))
    assert stats["tokens"] == sum(len(s.input_ids) for s in samples)
    assert stats["capacity_tokens"] == 1500 * len(samples)
    assert stats["frames"] == sum(s.record["end_frame_idx"] - s.record["start_frame_idx"] for s in samples)
    assert (stats["turns"], stats["answers"], stats["dialogs"]) == (31, 30, 1)
    assert FillReport().reasons() == "nothing to pack"


def test_texts_of_a_dialog_are_read_without_blanks_around_them() -> None:
    turn = {"role": "assistant", "content": " Boil.\n", "time": 2, "progress": "\nAll is set. "}
    (message,) = load_messages([turn], "dialog 0")
    assert (message.content, message.progress, message.time_s) == ("Boil.", "All is set.", 2.0)


def test_settings_that_cannot_work() -> None:
    for values, said in (
        ({"image_tokens": 7}, "image_tokens"),
        ({"max_seq_len": 0}, "full_length"),
        ({"keep_context_s": [20, 5]}, "keep_context_s"),
        ({"keep_context_s": [0, 5]}, "keep_context_s"),
        ({"max_summary_tokens": 0}, "max_summary_tokens"),
        ({"max_seqlen": 1}, "max_seq_len"),
    ):
        with pytest.raises(ConfigError, match=said):
            build(PackConfig, values, "pack")
    setup = {"name": "x", "knowledge": False, "summary": True}
    for values, said in (
        ({"summary_only": True, "knowledge": True}, "summary_only"),
        ({"full_length": True}, "full_length"),
        ({"name": "a/b"}, "name"),
    ):
        with pytest.raises(ConfigError, match=said):
            build_setup_config({**setup, **values}, "setup")


def test_only_what_changes_data_is_fingerprinted() -> None:
    assert set(meaning(PackConfig())) == {
        "max_seq_len",
        "image_tokens",
        "separator",
        "keep_context_s",
        "max_summary_tokens",
        "seed",
        "include_features",
    }
