from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError, StageError
from mmassist.io import tar

PART = st.text(st.sampled_from("abcXYZ019_-"), min_size=1, max_size=90)


@given(st.lists(st.tuples(PART, PART, st.binary(max_size=1500)), max_size=8, unique_by=lambda m: m[:2]))
def test_the_standard_library_reads_what_is_written(members):
    data = b"".join(tar.header(f"{a}/{b}", len(c)) + c + b"\0" * tar.padding(len(c)) for a, b, c in members) + tar.END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = [(m.name, archive.extractfile(m).read(), m.mtime, m.uid, m.mode) for m in archive]
    assert found == [(f"{a}/{b}", c, 0, 0, 0o644) for a, b, c in members]


def test_the_longest_item_key_fits():
    name = "k" * 100 + "/talk_some_12-0001.input_ids.npy"
    data = tar.header(name, 0) + tar.END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == [name]


def test_a_name_that_ustar_cannot_hold_is_refused():
    with pytest.raises(StageError, match="does not fit"):
        tar.header("x" * 101, 0)


@given(st.lists(st.tuples(PART, PART, st.binary(max_size=1500)), max_size=8, unique_by=lambda m: m[:2]))
def test_headers_alone_say_where_members_lie(members):
    data = b"".join(tar.header(f"{a}/{b}", len(c)) + c + b"\0" * tar.padding(len(c)) for a, b, c in members) + tar.END
    found = tar.list_members(io.BytesIO(data), "a.tar")
    assert [(name, data[at : at + size]) for name, at, size in found] == [(f"{a}/{b}", c) for a, b, c in members]
    for end in range(0, len(data) - len(tar.END), 512):
        with pytest.raises(ConfigError, match=r"a\.tar is cut short"):
            tar.list_members(io.BytesIO(data[:end]), "a.tar")


def test_other_kinds_of_members_are_refused():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("x" * 300))
    with pytest.raises(ConfigError, match="something else than plain ustar files at byte 0"):
        tar.list_members(out, "a.tar")
