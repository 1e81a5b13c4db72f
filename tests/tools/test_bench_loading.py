"""The loader's benchmark in small: every way reads all samples, or it says so."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.long

pytest.importorskip("torch")


def test_all_ways_read_the_same_samples(capsys, tmp_path):
    from tools.bench.loading import main

    small = ["--rounds", "1", "--dialogs", "3", "--recordings", "1", "--dim", "8", "--folder", str(tmp_path)]
    assert main(small) == 0
    text = capsys.readouterr().out
    titles = re.findall(r"^(\w.*): (\d+) samples, (\d+) tokens", text, re.MULTILINE)
    assert [title for title, _, _ in titles] == [
        "without features",
        "features in the samples",
        "features in their folder",
    ]
    assert all(int(samples) > 2 and int(tokens) > 8000 for _, samples, tokens in titles)
    assert len(re.findall(r"^(loader|collated|webdataset|1 MiB pieces)", text, re.MULTILINE)) == 18
    assert list(tmp_path.iterdir()) == []
