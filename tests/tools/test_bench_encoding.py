"""The benchmark of encoding: what it counts, and that the stage it times is the real one."""

from __future__ import annotations

import pytest

pytest.importorskip("simplejpeg")
pytest.importorskip("torch")

from mmassist.io.layout import Layout
from mmassist.io.reader import UnitReader
from mmassist.vision import build_encoder_config
from tools.bench import encoding, feature_reading
from tools.bench.encoding_source import write_frame_store
from tools.bench.generation_source import write_recordings

VIT = ["encoder.model=test_vit", "encoder.pretrained=random"]


def test_the_stage_and_the_encoder_alone_are_reported(capsys, monkeypatch, tmp_path):
    words = ["--encoder", "timm", "--batch-size", "4", "--frames", "6", "--rounds", "1", "--peak-tflops", "1"]
    settings = [word for value in VIT for word in ("--set", value)]
    monkeypatch.setattr("sys.argv", ["encoding", *words, *settings])
    assert encoding.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "test_vit_random on cpu, bf16: 2 recordings of 6 frames, batches of 4"
    cells = [float(cell) for cell in lines[3].strip("| ").split(" | ")]
    assert cells[0] == 1 and all(cell > 0 for cell in cells[1:3])
    assert lines[4].startswith("share of the encoder alone: ")
    assert lines[6].endswith("GFLOP a picture") and lines[7].startswith("share of 1 TFLOP/s")


def test_the_frame_store_is_one_that_encode_reads(tmp_path):
    write_recordings(tmp_path, 2)
    assert write_frame_store(tmp_path, 3, size=64) == 2
    reader = UnitReader(Layout(tmp_path).unit("holoassist", "frames"), "extract")
    keys = list(reader.keys())
    assert len(keys) == 2
    assert list(reader.read(keys[0]).names) == ["000000.jpg", "000001.jpg", "000002.jpg", "video.json"]
    reader.close()


def test_operations_are_counted_from_the_architecture():
    """By hand: twice the multiplications of patches, blocks (attention included), and pooling of the tiny tower."""
    tokens, width = 729, 64
    patches = tokens * 14 * 14 * 3 * width
    block = tokens * width * width * (3 + 1 + 4 + 4) + 2 * tokens * tokens * width
    pooling = tokens * width * 2 * width + width * width * (1 + 1 + 4 + 4) + 2 * tokens * width
    tiny = build_encoder_config({"engine": "tiny"}, "encoder")
    assert encoding.count_flops(tiny) == pytest.approx(2 * (patches + 2 * block + pooling), rel=1e-6)


def test_reading_says_what_each_way_costs():
    lines = list(feature_reading.measure(rounds=1, minutes=1, width=32, image_tokens=5))
    assert lines[0] == "features of 2 recordings of 1 minutes, 5 tokens of 32 a frame"
    assert [line.split(":")[0] for line in lines[1:]] == ["bytes", "members", "rows"]
