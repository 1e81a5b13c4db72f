import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.core.errors import ConfigError
from mmassist.core.item import Item, ItemKind
from mmassist.datasets.assignment import EVAL_RULES, GROUP_BY, SIDES, assign


def dialog(key, split="train", participant=None, recording=None):
    return Item("demo", key, ItemKind.DIALOG, split, (), "", recording or key, participant=participant)


@st.composite
def sources(draw):
    """Dialog items; several may share a recording, and a recording may name several participants."""
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, 15), st.sampled_from(SIDES), st.sampled_from([None, "a", "b", "c", "d", "e"])),
            max_size=25,
        )
    )
    return [dialog(f"i{n}", split, who, f"r{recording}") for n, (recording, split, who) in enumerate(rows)]


RULES = {"seed": st.integers(0, 99), "eval_rule": st.sampled_from(EVAL_RULES), "group_by": st.sampled_from(GROUP_BY)}


@given(items=sources(), random=st.randoms(), keep=st.sampled_from([0.0, 0.5, 1.0]), **RULES)
def test_the_order_of_items_does_not_matter(items, random, keep, seed, eval_rule, group_by):
    first = assign(items, {}, seed, eval_rule, group_by, keep)
    shuffled = list(items)
    random.shuffle(shuffled)
    assert assign(shuffled, {}, seed, eval_rule, group_by, keep) == first


@given(items=sources(), keep=st.sampled_from([0.0, 0.5, 1.0]), **RULES)
def test_no_recording_is_left_out_and_no_participant_divided(items, keep, seed, eval_rule, group_by):
    result = assign(items, {}, seed, eval_rule, group_by, keep)
    assert set(result.sides) == {item.recording for item in items}
    assert set(result.sides.values()) <= set(SIDES)
    if group_by == "participant":
        assert result.audit.shared_participants == {}
        for who in "abcde":
            assert len({result.sides[item.recording] for item in items if item.participant == who}) <= 1
    assert sum(row.num_recordings for row in result.audit.rows) == len(result.sides)
    assert sum(row.num_dialogs for row in result.audit.rows) == len(items)


@given(items=sources(), num_known=st.integers(0, 16), other_seed=st.integers(0, 99), **RULES)
def test_what_was_assigned_stays(items, num_known, other_seed, seed, eval_rule, group_by):
    earlier = [item for item in items if int(item.recording[1:]) < num_known]
    before = assign(earlier, {}, seed, eval_rule, group_by)
    after = assign(items, before.sides, other_seed, eval_rule, group_by)
    assert before.sides.items() <= after.sides.items()
    if group_by == "participant":
        assert after.audit.shared_participants == {}
    left_out = {item.recording for item in items} - after.sides.keys()
    assert left_out == {move.recording for move in after.audit.moves if not move.side}
    assert assign(items, after.sides, seed, eval_rule, group_by).sides == after.sides


@given(items=sources(), seed=RULES["seed"])
def test_halves_differ_by_at_most_the_largest_group(items, seed):
    items = [dialog(item.key, "val", item.participant, item.recording) for item in items]
    counts = assign(items, {}, seed, "halve_val", "recording").counts()
    assert 0 <= counts["val"] - counts["test"] <= 1
    assert counts["train"] == 0


@given(items=sources(), seed=RULES["seed"])
def test_own_test_by_recording_keeps_the_official_split(items, seed):
    splits = {}
    for item in items:
        splits.setdefault(item.recording, set()).add(item.split)
    sides = assign(items, {}, seed, "own_test", "recording").sides
    assert all(sides[name] in found for name, found in splits.items())
    assert all(sides[name] == "train" for name, found in splits.items() if "train" in found)


def test_a_person_in_training_takes_the_whole_group_there():
    items = [dialog("r1", "train", "ann"), dialog("r2", "val", "ann"), dialog("r3", "val", "bob"), dialog("r4", "val")]
    result = assign(items, {}, 0, "halve_val", "participant")
    assert (result.sides["r1"], result.sides["r2"]) == ("train", "train")
    assert {result.sides["r3"], result.sides["r4"]} == {"val", "test"}
    (move,) = result.audit.moves
    assert (move.recording, move.official, move.side) == ("r2", "val", "train")
    assert move.reason == "shares a participant with training"
    by_recording = assign(items, {}, 0, "halve_val", "recording")
    assert by_recording.sides["r2"] != "train"
    assert by_recording.audit.shared_participants == {"ann": ("train", by_recording.sides["r2"])}
    assert by_recording.audit.moves == ()


def test_a_recording_joins_two_people():
    items = [dialog("r1", "val", "ann"), dialog("x", "val", "ann", "r2"), dialog("y", "val", "bob", "r2")]
    items += [dialog("r3", "train", "bob")]
    assert set(assign(items, {}, 0, "halve_val", "participant").sides.values()) == {"train"}


def test_a_new_recording_between_two_sides_is_left_out():
    known = {"r1": "train", "r2": "val"}
    items = [dialog("r1", "train", "ann"), dialog("r2", "val", "bob"), dialog("r4", "val", "ann")]
    items += [dialog("x", "train", "ann", "r3"), dialog("y", "train", "bob", "r3")]
    result = assign(items, known, 0, "halve_val", "participant")
    assert result.sides == {"r1": "train", "r2": "val", "r4": "train"}
    reasons = {move.recording: move.reason for move in result.audit.moves}
    assert reasons["r3"] == "connects groups that are on different sides"


def test_assignments_that_already_share_a_person_are_kept_and_shown():
    items = [dialog("r1", "train", "ann"), dialog("r2", "val", "ann"), dialog("r3", "val", "ann")]
    result = assign(items, {"r1": "train", "r2": "val", "gone": "test"}, 0, "halve_val", "participant")
    assert result.sides == {"gone": "test", "r1": "train", "r2": "val"}
    assert result.audit.shared_participants == {"ann": ("train", "val")}
    assert result.counts() == {"train": 1, "val": 1, "test": 1}


def test_new_recordings_fill_the_smaller_half():
    known = {f"old{n}": "val" for n in range(4)}
    items = [dialog(f"new{n}", "val") for n in range(4)]
    sides = assign(items, known, 1, "halve_val", "participant").sides
    assert [sides[f"new{n}"] for n in range(4)] == ["test"] * 4


def test_keeping_evaluation_where_everybody_also_trains():
    items = [dialog(f"r{n}", "val" if n % 8 == 0 else "train", f"p{n // 4}") for n in range(160)]
    drained = assign(items, {}, 0, "halve_val", "participant").counts()
    kept = assign(items, {}, 0, "halve_val", "participant", keep_eval=1.0)
    assert drained == {"train": 160, "val": 0, "test": 0}
    assert kept.counts() == {"train": 140, "val": 12, "test": 8}
    assert kept.audit.shared_participants == {}
    assert Counter(move.reason for move in kept.audit.moves)["shares a participant with evaluation"] == 15


def test_the_seed_decides_the_halves():
    items = [dialog(f"r{n}", "val") for n in range(40)]
    sides = [assign(items, {}, seed, "halve_val", "recording").sides for seed in (1, 1, 2)]
    assert sides[0] == sides[1] != sides[2]


def test_audit_as_plain_values():
    items = [dialog("b", "val", "ann"), dialog("a", "train", "ann"), dialog("a2", "train", "ann", "a")]
    plain = json.loads(json.dumps(assign(items, {}, 0, "halve_val", "participant").to_json()))
    assert list(plain["recordings"].items()) == [("a", "train"), ("b", "train")]
    assert plain["audit"]["sides"][0] == {
        "side": "train",
        "num_recordings": 2,
        "num_participants": 1,
        "num_dialogs": 3,
        "num_moved": 1,
    }
    assert plain["audit"]["moved"][0]["recording"] == "b"


def test_wrong_rules_are_named():
    with pytest.raises(ConfigError, match=r"'split\.official_eval' is 'half'; it must be one of halve_val, own_test"):
        assign([], {}, 0, "half", "participant")
    with pytest.raises(ConfigError, match=r"'split\.group_by'"):
        assign([], {}, 0, "own_test", "person")
    with pytest.raises(ConfigError, match="'side of r1' is 'dev'"):
        assign([], {"r1": "dev"}, 0, "own_test", "recording")
