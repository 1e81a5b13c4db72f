from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmassist.core.errors import ItemError
from mmassist.dialog.record import list_conversations, read_record
from mmassist.dialog.score import timing_score

RELEASED = {
    "video_uid": "grp-1234",
    "inferred_goal": "tea",
    "inferred_knowledge": "tea",
    "conversations": [
        {"user_type": "talk_some", "conversation": [{"role": "user", "time": 1, "content": "hi", "labels": ""}]}
    ],
    "parsed_video_anns": {"dataset": "ego4d-goalstep", "knowedge_type": "recipe", "all_step_descriptions": ""},
}


def test_a_released_record_is_brought_to_our_keys() -> None:
    record = read_record(json.dumps(RELEASED))
    assert record["parsed_video_anns"]["knowledge_type"] == "recipe"
    assert "knowedge_type" not in record["parsed_video_anns"]
    assert record["parsed_video_anns"]["dataset"] == "ego4d"
    assert record["parsed_video_anns"]["video_start_time"] == 0.0
    assert record["video_uid"] == "grp-1234"
    assert record["gen_args"] == {}
    assert record["drops"] == []
    assert [c.user_id for c in list_conversations(record)] == ["talk_some_0"]
    assert list_conversations(record)[0].turns[0].time_s == 1.0


@pytest.mark.parametrize("data", [b"{", b"[]", b"{}", b'{"reason_to_exclude": "too short"}'])
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(ItemError):
        read_record(data)


@pytest.mark.parametrize("dataset", ["holoassist", "wtag", "epickitchens", "egoexolearn", "assembly101"])
def test_published_files_are_read_and_score_well(sample_data: Path, dataset: str) -> None:
    (path,) = (sample_data / "extra" / "proassist-outputs" / dataset / "generated_dialogs").glob("*.json")
    record = read_record(path.read_bytes())
    text = record["parsed_video_anns"]["all_step_descriptions"]
    for conversation in list_conversations(record):
        assert conversation.turns
        assert timing_score(text, conversation.turns, compat=True).final_score < 10
        assert timing_score(text, conversation.turns, compat=False).final_score < 10
