from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.item import Geometry, Medium
from mmassist.video.config import VideoConfig
from mmassist.video.records import FRAME, INFO, RecordBuffer, Request, pack_frame, pack_json, parse_frame


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(min_value=1, max_value=700))
def test_records_survive_any_cutting_of_the_stream(jpegs, step):
    stream = b"".join(pack_frame(i, jpeg) for i, jpeg in enumerate(jpegs)) + pack_json(INFO, {"num_frames": 7})
    buffer = RecordBuffer()
    records = [r for at in range(0, len(stream), step) for r in buffer.add(stream[at : at + step])]
    assert [parse_frame(payload) for kind, payload in records if kind == FRAME] == list(enumerate(jpegs))
    assert records[-1][0] == INFO and json.loads(records[-1][1]) == {"num_frames": 7}


def test_a_request_survives_the_line_even_with_a_name_that_is_no_text():
    request = Request((Path(os.fsdecode(b"a\xff\nb.mp4")), Path("你好.mp4")), Geometry(90), VideoConfig(fps=1.0), True)
    line = request.to_line()
    assert line.count(b"\n") == 1
    assert Request.from_line(line) == request


def test_a_request_for_a_picture_survives_with_its_geometry():
    request = Request((Path("a.jpg"),), Geometry(270, "squash"), VideoConfig(), medium=Medium.IMAGES)
    read = Request.from_line(request.to_line())
    assert read == request and read.medium is Medium.IMAGES and read.geometry.fit == "squash"
