"""What the report says of scores on disk: over a real run, and over folders that are unfinished, odd or damaged."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.io.layout import Layout
from tests.e2e.commands import FOLDERS, run, words_of
from tools.judge_report.__main__ import main
from tools.judge_report.statistic import compare, count_pairs, describe, rank

pytestmark = pytest.mark.long

LLM = "scores/llm"


@pytest.fixture(scope="module")
def judged(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the dialogs of WTaG's three recordings, scored by both judges."""
    root = tmp_path_factory.mktemp("judged")
    shutil.copytree(demo_root / "datasets" / "WTaG", root / "datasets" / "WTaG")
    run(root, words_of("stage=generate,judge", "dataset=wtag"))
    run(root, words_of("stage=judge", "judge=llm", "dataset=wtag", "judge.task_weight=40"))
    return root


@pytest.fixture
def copied(judged: Path, tmp_path: Path) -> Layout:
    """The same, to be changed."""
    shutil.copytree(judged, tmp_path / "root", symlinks=True)
    return Layout(tmp_path / "root")


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def call(root: Path, *words: str) -> tuple[int, str]:
        code = main([*words, "--root", str(root)])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call


@pytest.fixture
def report(ask) -> Callable[..., dict[str, Any]]:
    def call(root: Path, *words: str, expect: int = 0) -> dict[str, Any]:
        code, text = ask(root, *words, "--json")
        assert code == expect, text
        found: dict[str, Any] = json.loads(text)
        return found

    return call


def scores_of(root: Path, folder: str) -> dict[tuple[str, str], float]:
    """Final scores straight from the shards."""
    import tarfile

    found = {}
    for shard in sorted(Layout(root).unit("wtag", folder).shard_dir.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                row = json.load(tar.extractfile(member))  # type: ignore[arg-type]
                found |= {(row["key"], one["user_id"]): one["final_score"] for one in row["scores"]}
    return found


def judges_of(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (source,) = found["sources"]
    return {judge["judge"]: judge for judge in source["judges"]}


def test_distributions_are_those_of_the_scores(judged: Path, report) -> None:
    found = report(judged, "dataset=wtag")
    assert found["problems"] == [] and [source["dataset"] for source in found["sources"]] == ["wtag"]
    judges = judges_of(found)
    assert list(judges) == ["llm", "timing"]
    for name, judge in judges.items():
        finals = scores_of(judged, f"scores/{name}")
        assert judge["conversations"] == len(finals) == 30 and judge["items"] == {"total": 3, "scored": 3}
        rows = {(row["measure"], row["user_type"]): row for row in judge["measures"]}
        for user_type, number in (("all", 30), ("no_talk", 6), ("talk_some", 12), ("talk_more", 12)):
            values = [v for (_, user_id), v in finals.items() if user_type == "all" or user_id.startswith(user_type)]
            row = rows["final_score", user_type]
            assert row["count"] == len(values) == number and row["missing"] == 0
            assert row["mean"] == pytest.approx(np.mean(values)) and row["sd"] == pytest.approx(np.std(values))
            assert row["quantiles"]["median"] == pytest.approx(np.median(values))
            assert sum(row["histogram"]["counts"]) == number
    criteria = {row["measure"] for row in judges["llm"]["measures"]}
    assert criteria == {"final_score", "correctness", "helpfulness", "alignment", "naturalness"} | {
        "goal_accuracy",
        "knowledge_accuracy",
    }
    of_records = [row for row in judges["llm"]["measures"] if row["user_type"] == ""]
    assert [row["count"] for row in of_records] == [3, 3]
    assert judges["llm"]["engine"]["model"] == judges["llm"]["generator"] == "scripted"
    assert all(row["mean_spread"] is None for row in judges["timing"]["measures"])


def test_agreement_is_that_of_the_scores(judged: Path, report) -> None:
    (agreement,) = report(judged)["sources"][0]["agreements"]
    assert agreement["judges"] == ["llm", "timing"]
    assert (agreement["common"], agreement["other_dialogs"]) == (30, 0)
    by_model, by_clock = scores_of(judged, LLM), scores_of(judged, FOLDERS["judge"])
    places = sorted(by_model)
    x, y = ([scores[place] for place in places] for scores in (by_model, by_clock))
    row = next(r for r in agreement["rows"] if r["measures"] == ["final_score"] * 2 and r["user_type"] == "all")
    assert row["count"] == 30 and row["pearson"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert row["spearman"] == pytest.approx(np.corrcoef(rank(x), rank(y))[0, 1])
    assert ["alignment", "final_score"] in [r["measures"] for r in agreement["rows"]]
    (one,) = agreement["disagreements"]
    assert one["scores"] == [by_model[one["key"], one["user_id"]], by_clock[one["key"], one["user_id"]]]
    assert 0 < one["gap"] <= 1 and one["better"] in ("llm", "timing") and one["dialog"] and one["rationales"][0]


def test_examples_are_the_worst_and_the_best(judged: Path, report) -> None:
    judges = judges_of(report(judged, "--examples", "2"))
    for name, judge in judges.items():
        finals = scores_of(judged, f"scores/{name}")
        for user_type in ("no_talk", "talk_some", "talk_more"):
            chosen = [e for e in judge["examples"] if e["user_type"] == user_type]
            assert [e["which"] for e in chosen] == ["worst", "worst", "best", "best"]
            ordered = sorted(v for (_, user_id), v in finals.items() if user_id.startswith(user_type))
            assert [e["score"] for e in chosen] == [*ordered[:2], *ordered[::-1][:2]]
            for e in chosen:
                assert finals[e["key"], e["user_id"]] == e["score"] == e["values"]["final_score"]
                assert e["dialog"][0].endswith((".", "?")) and "User: " in e["dialog"][0] and len(e["dialog"]) == 4
                assert e["rationale"].startswith("Rated by rule.") == (name == "llm")
    assert all(judge["examples"] == [] for judge in judges_of(report(judged, "--examples=0")).values())


def test_the_same_as_text(judged: Path, ask) -> None:
    code, text = ask(judged)
    assert code == 0
    for words in (
        "wtag, judge llm: 30 conversations of 3 items; rated by scripted, written by scripted\n",
        "wtag, judge timing: 30 conversations of 3 items\n",
        "wtag, llm and timing: 30 conversations in common\n",
        "Spearman",
        "ordered alike",
        "worst of no_talk: ",
        "best of talk_more: ",
        "of all places apart",
        "Rated by rule.",
        "0 alone",  # penalties, of which there are none
    ):
        assert words in text, words
    assert all(len(line) < 500 for line in text.splitlines())


def test_one_judge_only(copied: Layout, ask, report) -> None:
    shutil.rmtree(copied.unit("wtag", LLM).root)
    found = report(copied.data_root)
    assert found["sources"][0]["agreements"] == [] and list(judges_of(found)) == ["timing"]
    assert "wtag: one judge only, so there is nothing to compare" in ask(copied.data_root)[1]


def test_without_scores_it_says_so(copied: Layout, ask) -> None:
    shutil.rmtree(copied.unit("wtag", "scores").root)
    assert ask(copied.data_root, "dataset=wtag") == (
        2,
        "error: there are no scores of wtag yet; python -m launchers.run stage=judge dataset=… makes them\n",
    )
    assert "there are no scores below" in ask(copied.data_root)[1]
    assert (
        ask(copied.data_root, "dataset=wtgg")[1]
        == "error: dataset=wtgg: there is no such dataset. Did you mean 'wtag'?\n"
    )
    assert "say dataset=NAME" in ask(copied.data_root, "wtag")[1]
    assert "--examples is given 'x'" in ask(copied.data_root, "--examples", "x")[1]
    assert "unknown key 'judge'" in ask(copied.data_root, "judge=llm")[1]


def test_an_unfinished_folder_is_reported_as_far_as_it_is(copied: Layout, ask, report) -> None:
    unit = copied.unit("wtag", LLM)
    tasks = sorted(unit.record_dir.glob("*.json"))
    assert len(tasks) > 1
    tasks[-1].unlink()
    found = report(copied.data_root)
    llm = judges_of(found)["llm"]
    scored = llm["items"]["scored"]
    assert 0 < scored < llm["items"]["total"] == 3 and llm["conversations"] == 10 * scored
    assert found["sources"][0]["agreements"][0]["common"] == 10 * scored
    assert f"unfinished: {3 - scored} of 3 items have no scores" in ask(copied.data_root)[1]
    for task in tasks[:-1]:
        task.unlink()
    found = report(copied.data_root)
    assert judges_of(found)["llm"]["conversations"] == 0 and found["sources"][0]["agreements"][0]["common"] == 0
    assert "llm and timing: 0 conversations in common" in ask(copied.data_root)[1]


def test_damage_is_one_line_and_the_rest_is_shown(copied: Layout, ask, report) -> None:
    shard = copied.unit("wtag", LLM).shard("000000")
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    found = report(copied.data_root, expect=1)
    (problem,) = found["problems"]
    assert problem.startswith("wtag/scores/llm: the scores of ") and "holds other bytes than were written" in problem
    assert judges_of(found)["timing"]["conversations"] == 30 and judges_of(found)["llm"]["conversations"] in (10, 20)
    code, text = ask(copied.data_root)
    assert code == 1 and text.count("note: ") == 1 and "\nnote: wtag/scores/llm: the scores of" in text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"outcomes": {"T1": 3}}'])
def test_a_damaged_record_costs_its_folder(copied: Layout, report, content: bytes) -> None:
    copied.unit("wtag", LLM).record("000000").write_bytes(content)
    found = report(copied.data_root, expect=1)
    assert any("wtag/scores/llm" in problem for problem in found["problems"])
    assert judges_of(found)["timing"]["conversations"] == 30


def test_damaged_dialogs_cost_the_examples_alone(copied: Layout, report) -> None:
    shutil.rmtree(copied.unit("wtag", FOLDERS["generate"]).root)
    judges = judges_of(report(copied.data_root))
    assert all(e["remark"] == "the dialogs are not there any more" for e in judges["llm"]["examples"])
    assert judges["llm"]["conversations"] == 30


def test_scores_of_other_dialogs_are_not_compared(copied: Layout, ask, report) -> None:
    run(copied.data_root, words_of("stage=generate,judge", "dataset=wtag", "generate.seed=7", "on_stale=rebuild"))
    found = report(copied.data_root)
    (agreement,) = found["sources"][0]["agreements"]
    assert (agreement["common"], agreement["other_dialogs"]) == (0, 30)
    assert {e["remark"] for e in judges_of(found)["llm"]["examples"]} == {"the dialogs are not there any more"}
    assert "left out: 30 of the same name whose dialogs were made again" in ask(copied.data_root)[1]


finite = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
few = st.sampled_from([1.0, 1.5, 2.0, 5.0])
columns = st.one_of(
    *(st.lists(st.tuples(kind, other), max_size=150) for kind in (finite, few) for other in (finite, few))
)


@given(columns)
def test_pairs_are_counted_as_one_by_one(rows: list[tuple[float, float]]) -> None:
    signs = [(a[0] - b[0]) * (a[1] - b[1]) for a, b in combinations(rows, 2)]
    expected = (sum(s > 0 for s in signs), sum(s < 0 for s in signs), sum(s == 0 for s in signs))
    x, y = (np.array([row[side] for row in rows]) for side in (0, 1))
    assert count_pairs(x, y) == expected


@given(st.lists(st.tuples(few, finite), max_size=60), st.randoms())
def test_agreement_depends_on_neither_order_nor_side(rows: list[tuple[float, float]], random: Any) -> None:
    found = compare([x for x, _ in rows], [y for _, y in rows])
    mixed = random.sample(rows, len(rows))
    for other in (
        compare([x for x, _ in mixed], [y for _, y in mixed]),
        compare([y for _, y in rows], [x for x, _ in rows]),
    ):
        assert other["pairs"] == found["pairs"] and other["count"] == found["count"]
        for name in ("pearson", "spearman", "ordered_alike"):
            assert other[name] == pytest.approx(found[name], abs=1e-9)
    for name in ("pearson", "spearman"):
        assert found[name] is None or -1 <= found[name] <= 1


def test_agreement_at_its_ends() -> None:
    rising = [1.0, 2.0, 3.0, 10.0]
    assert compare(rising, [2.0, 4.0, 5.0, 6.0]) | {"pearson": 0} == {
        "count": 4,
        "pearson": 0,
        "spearman": 1.0,
        "ordered_alike": 1.0,
        "pairs": {"alike": 6, "opposed": 0, "tied": 0},
    }
    assert compare(rising, rising[::-1])["ordered_alike"] == 0
    for x, y in (([], []), ([1.0], [2.0]), ([3.0, 3.0], [1.0, 2.0])):
        found = compare(x, y)
        assert (found["pearson"], found["spearman"], found["ordered_alike"]) == (None, None, None)
    assert list(rank([5.0, 1.0, 5.0, 7.0])) == [2.5, 1.0, 2.5, 4.0]


@given(st.lists(st.one_of(st.none(), finite), max_size=40))
def test_a_distribution_accounts_for_every_value(values: list[float | None]) -> None:
    row = describe(values)
    known = [value for value in values if value is not None]
    assert row["count"] == len(known) and row["missing"] == len(values) - len(known)
    if not known:
        assert row["mean"] is None and row["histogram"] is None and set(row["quantiles"].values()) == {None}
        return
    assert sum(row["histogram"]["counts"]) == len(known)
    assert math.isclose(row["quantiles"]["min"], min(known)) and math.isclose(row["quantiles"]["max"], max(known))
    assert min(known) - 1e-6 <= row["mean"] <= max(known) + 1e-6 and row["sd"] >= 0
