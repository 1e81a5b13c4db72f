"""Decoding only what is needed, on real encoders' streams: every sampled picture equals the one of a full decode."""

from __future__ import annotations

import hashlib
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mmassist.core.item import Geometry
from mmassist.video import VideoConfig, extract_frames, source_decoder
from mmassist.video import planned as planned_module
from mmassist.video.sampling import TimeSampler
from mmassist.video.source_decoder import SourceDecoder

pytestmark = pytest.mark.long

X264 = "-c:v libx264 -preset veryfast"
X265 = "-c:v libx265 -preset ultrafast -bf 3 -x265-params log-level=none:"
# name -> options of the encoder, and whether a plan is made
STREAMS = {
    "gop12.mp4": (f"{X264} -g 12", True),
    "gop30.mp4": (f"{X264} -g 30", True),
    "gop250.mp4": (f"{X264} -g 250 -bf 3", True),
    "no_b_scenes.mp4": (f"{X264} -g 25 -bf 0", True),
    "open_gop.mp4": (f"{X264} -g 24 -bf 3 -x264-params open-gop=1", True),
    "pyramid.mkv": (f"{X264} -g 24 -bf 8 -x264-params open-gop=1:b-pyramid=normal:ref=6", True),
    "temporal_direct.mp4": (f"{X264} -g 60 -bf 3 -x264-params direct=temporal:weightp=2", True),
    "slices.ts": (f"{X264} -g 30 -x264-params slices=4", True),
    "ntsc.mp4": (f"-r 30000/1001 {X264} -g 30", True),
    "fast.mp4": (f"-r 60000/1001 {X264} -g 60", True),
    "interlaced.mp4": (f"{X264} -g 30 -flags +ilme+ildct -x264-params tff=1", True),
    "ten_bits.mp4": (f"-pix_fmt yuv420p10le {X264} -g 30", True),
    "flash.flv": (f"{X264} -g 30", True),
    "fragments.mp4": (f"{X264} -g 30 -movflags frag_keyframe+empty_moov", True),
    "hevc.mp4": (f"{X265}keyint=30:open-gop=0", True),
    "hevc_open.ts": (f"{X265}keyint=30:open-gop=1", True),
    "hevc_layers.mp4": (f"{X265}keyint=30:temporal-layers=3", True),
    "hevc_refresh.mp4": (f"{X265}keyint=60:intra-refresh=1", True),
    "intra.mp4": (f"{X264} -g 1", True),
    "motion_jpeg.mkv": ("-c:v mjpeg -q:v 4", True),
    "vp9.webm": ("-c:v libvpx-vp9 -g 30 -deadline realtime -cpu-used 8 -b:v 500k", True),
    "refresh.mp4": (f"{X264} -x264-params intra-refresh=1:keyint=30", True),  # no key pictures: only disposable ones
    "old.avi": (f"{X264} -g 30", False),
    "old.mpeg": ("-c:v mpeg2video -bf 2 -g 15", False),
}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Encode a moving test picture with a hard cut in the middle, once per name."""
    folder = tmp_path_factory.mktemp("streams")

    def encode(name: str, options: str, more: str = "") -> Path:
        path = folder / name
        if path.exists():
            return path
        source = "testsrc2=size=192x128:rate=30:duration=7,noise=alls=12:allf=t,hue=H=2*PI*floor(t/3.3)/3"
        words = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"{source}{more}", "-pix_fmt", "yuv420p"]
        subprocess.run([*words, *options.split(), str(path)], check=True)
        return path

    return encode


def digest(frame) -> str:
    """Of the picture as it came out of the decoder, before anything is scaled."""
    sample_bytes = 2 if "10" in frame.format.name else 1
    sha = hashlib.sha256(f"{frame.format.name} {frame.width}x{frame.height}".encode())
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        sha.update(rows[: plane.height, : plane.width * sample_bytes].tobytes())
    return sha.hexdigest()[:16]


def sampled(path: Path, fps: Fraction, *, whole: bool) -> tuple[list[tuple[int, Fraction, str]], dict]:
    """Index, time and digest of every sample."""
    sampler: TimeSampler[str] = TimeSampler(fps)
    choose = None if whole else lambda times: sampler.choose(times)
    source = SourceDecoder(path, lambda: None, choose)
    samples = [s for p in source for s in sampler.add(p.time, digest(p.frame))]
    samples += sampler.finish(source.last_s)
    account = {"end": source.end_s, "expected": source.expected_end_s, "problems": source.problems, **source.info()}
    return [(s.index, s.time, s.picture) for s in samples], account


class Spy:
    """Counts the packets that reach the decoder under a plan, and the plans that were given up."""

    def __init__(self, monkeypatch):
        self.plans, self.failures = [], 0
        make_plan, decode = planned_module.plan_packets, planned_module.decode_planned

        def plan_packets(*arguments):
            self.plans.append(make_plan(*arguments))
            return self.plans[-1]

        def decode_planned(*arguments):
            try:
                yield from decode(*arguments)
            except planned_module.PlanFailed:
                self.failures += 1
                raise

        monkeypatch.setattr(source_decoder, "plan_packets", plan_packets)
        monkeypatch.setattr(source_decoder, "decode_planned", decode_planned)


@pytest.mark.parametrize("name", STREAMS)
def test_sampled_pictures_equal_those_of_a_full_decode(make, monkeypatch, name):
    options, is_planned = STREAMS[name]
    path = make(name, options)
    spy = Spy(monkeypatch)
    assert sampled(path, Fraction(2), whole=False) == sampled(path, Fraction(2), whole=True)
    assert [plan is not None for plan in spy.plans] == ([True] if is_planned else [])
    assert spy.failures == 0
    assert not is_planned or sum(spy.plans[0].needed) < 0.95 * len(spy.plans[0].needed)


@pytest.mark.parametrize("fps", [Fraction(1, 2), Fraction(5), Fraction(25)])
@pytest.mark.parametrize("name", ["open_gop.mp4", "hevc_open.ts", "ntsc.mp4"])
def test_other_rates(make, name, fps):
    path = make(name, STREAMS[name][0])
    assert sampled(path, fps, whole=False) == sampled(path, fps, whole=True)


def test_streams_cut_at_a_key_picture_that_others_are_built_across(make):
    for name, codec in (("a.mp4", X264 + " -g 24 -bf 3 -x264-params open-gop=1"), ("b.mp4", X265 + "keyint=24")):
        whole = make(name, codec)
        cut = whole.with_name(f"cut_{name}")
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-ss", "1.3", "-i", whole, "-c", "copy", cut], check=True)
        assert sampled(cut, Fraction(2), whole=False) == sampled(cut, Fraction(2), whole=True)


def test_what_does_not_come_out_is_had_by_decoding_everything(make, monkeypatch):
    """A plan that leaves out what is needed fails at the first missing picture, and the rest comes all the same."""
    path = make("spoiled.mp4", f"{X264} -g 60 -bf 0")
    expected = sampled(path, Fraction(2), whole=True)
    make_plan = planned_module.plan_packets

    def spoiled(*arguments):
        plan = make_plan(*arguments)
        for place in range(95, 125):
            plan.needed[place] = 0
        return plan

    monkeypatch.setattr(source_decoder, "plan_packets", spoiled)
    assert sampled(path, Fraction(2), whole=False) == expected


def test_damage_in_a_needed_picture_is_found(make):
    path = make("broken.mp4", f"{X264} -g 30 -bf 0")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = bytes(6000)
    path.write_bytes(data)
    errors = []
    for decode in ("needed", "all"):
        stream = extract_frames([path], Geometry(), VideoConfig(decode=decode, isolated=False))
        with pytest.raises(source_decoder.ItemError, match="readable") as caught:
            list(stream)
        errors.append(caught.value.message)
    assert errors[0] == errors[1]


def test_jpegs_and_facts_are_the_same(make):
    paths = [make("one.mp4", f"{X264} -g 30"), make("two.mkv", f"{X265}keyint=20"), make("three.ts", f"{X264} -g 45")]
    found = []
    for decode in ("needed", "all"):
        stream = extract_frames(paths, Geometry(), VideoConfig(decode=decode, isolated=False))
        found.append((list(stream), stream.info()))
    assert found[0] == found[1]
    assert len(found[0][0]) == 42


def test_memory_does_not_grow_with_the_packets(make):
    """Two hours of packets at 30 a second: the table takes some megabytes, the plan one more."""
    import tracemalloc

    from mmassist.video.bitstream import Role
    from mmassist.video.packet_plan import PacketTable

    class Packet:
        is_corrupt = is_discard = False
        duration = 1

    table, packet = PacketTable(), Packet()
    tracemalloc.start()
    for number in range(216_000):
        packet.pts = packet.dts = number
        table.add(packet, Role(number % 30 == 0, True))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 8e6
