"""Rows of features by random access."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError
from mmassist.io.lookup import OpenFiles
from mmassist.loader import FeatureStore
from tests.mmassist.loader.folders import DIM, feature_rows, write_features

pytestmark = pytest.mark.long

pytest.importorskip("tokenizers")
VIDEOS = {"short": 1, "video-long": 47}
ALL_PARTS = (("2x2", 4), ("3x3", 9), ("5x5", 25), ("cls", 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_features(tmp_path_factory.mktemp("toy") / "features" / "enc", VIDEOS, parts=ALL_PARTS)


@pytest.fixture
def store(folder) -> FeatureStore:
    return FeatureStore(folder, OpenFiles(limit=1))


@given(st.data(), st.sampled_from([(1, ("cls",)), (5, ("cls", "2x2")), (10, ("cls", "3x3")), (26, ("cls", "5x5"))]))
def test_any_rows_are_those_that_were_stored(folder, data, form):
    image_tokens, parts = form
    store = FeatureStore(folder, OpenFiles(limit=1))
    for _ in range(3):
        video = data.draw(st.sampled_from(sorted(VIDEOS)))
        start = data.draw(st.integers(0, VIDEOS[video] - 1))
        end = data.draw(st.integers(start + 1, VIDEOS[video]))
        rows = store.read(video, start, end, image_tokens)
        whole = [feature_rows(video, VIDEOS[video], dict(ALL_PARTS)[part]) for part in parts]
        assert rows.dtype == np.float16 and rows.shape == (end - start, image_tokens, DIM)
        assert np.array_equal(rows, np.concatenate(whole, axis=1)[start:end])


def test_rows_beyond_the_last_one_are_refused(store):
    with pytest.raises(ConfigError, match=r"frames 40 to 48 of video-long.*47 rows"):
        store.read("video-long", 40, 48, 5)


def test_a_video_without_features_is_named_with_the_command(folder, tmp_path, store):
    command = "run python -m launchers.run stage=encode dataset=.* 'items=.lost.'"
    with pytest.raises(ConfigError, match=rf"lost has no features in .*enc \(not encoded yet\): {command}"):
        store.read("lost", 0, 1, 5)
    with pytest.raises(ConfigError, match="which does not exist"):
        FeatureStore(tmp_path / "features" / "none", OpenFiles()).read("lost", 0, 1, 5)


def test_the_ledger_says_why(tmp_path):
    folder = write_features(tmp_path / "toy" / "features" / "enc", VIDEOS)
    row = {"item": "lost", "task": "000000", "attempt": 1, "status": "failed", "reason": "permanent", "inputs": ""}
    row |= {"message": "frame 000007.jpg is damaged", "traceback": "", "run_id": "r", "time": "2026-01-01T00:00:00Z"}
    (folder / "ledger").mkdir(exist_ok=True)
    (folder / "ledger" / "r.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ConfigError, match=r"lost has no features .*\(failed: frame 000007\.jpg is damaged\)"):
        FeatureStore(folder, OpenFiles()).read("lost", 0, 1, 5)


def test_a_grid_that_was_not_encoded_is_named(tmp_path):
    folder = write_features(tmp_path / "features" / "enc", VIDEOS)
    store = FeatureStore(folder, OpenFiles())
    assert store.read("short", 0, 1, 1).shape == (1, 1, DIM)
    with pytest.raises(ConfigError, match=r"10 tokens a frame need 3x3.*encode\.grids=\[2\].*encode with 3"):
        store.read("short", 0, 1, 10)
    with pytest.raises(ConfigError, match="7 tokens a frame; features give 1, 5, 10, 26"):
        store.read("short", 0, 1, 7)


def test_arrays_of_another_size_are_refused(tmp_path):
    folder = write_features(tmp_path / "features" / "enc", {"video": 20})
    index = folder / "index" / "000000.json"
    values = json.loads(index.read_text())
    for member in values["items"]["video"]["members"]:
        member[2] -= 32 if member[0].endswith("1.cls.npy") else 0
    index.write_text(json.dumps(values))
    store = FeatureStore(folder, OpenFiles())
    with pytest.raises(ConfigError, match=r"000001\.cls\.npy of video .* is not float16 \[10, 1, 8\]"):
        store.read("video", 0, 1, 5)
