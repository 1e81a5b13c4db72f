"""Which folders a job reads and what it knows of their settings, whichever judge the command is composed with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from launchers.compose import Combination, compose_command
from launchers.jobs import Job, check_on_disk, resolve_jobs
from launchers.workspace import Workspace, upstream_key
from mmassist.core.errors import Blocked, ConfigError
from mmassist.core.item import Item, ItemKind
from mmassist.io.atomic import write_json
from mmassist.io.layout import Layout

pytestmark = pytest.mark.long

BOTH = "split.filter='llm.correctness >= 4 and timing.no_resp_user_turns == 0'"
ITEM = Item("wtag", "T1-a", ItemKind.DIALOG, "train", (), "digest", "T1", media_key="T1")


@cache
def compose(*words: str) -> list[Combination]:
    """All stages that matter here at once, since composing takes its time."""
    return compose_command(["stage=judge,split,pack", *words, "dataset=wtag", "models=tiny", "hydra/launcher=basic"])


@pytest.fixture
def resolve(tmp_path: Path) -> Callable[..., dict[str, Job]]:
    """Resolve a command over an empty data root; returns its jobs by name."""
    (tmp_path / "datasets").mkdir()

    def call(stage: str, *words: str) -> dict[str, Job]:
        composed = [one for one in compose(*words) if one.command.stage in stage.partition("=")[2].split(",")]
        paths = {"paths": {"data_root": str(tmp_path)}}
        layout, jobs = resolve_jobs([replace(one, sections=one.sections | paths) for one in composed])
        call.stale = check_on_disk(layout, jobs)  # type: ignore[attr-defined]
        assert len({job.unit.root for job in jobs}) == len(jobs)
        return {job.name: job for job in jobs}

    return call


def keep_manifest(job: Job) -> None:
    """Leave what a run would leave of the job's settings."""
    write_json(job.unit.manifest, {"settings": job.settings}, "manifest")


def folders(job: Job, root: Path) -> dict[str, str]:
    return {read: unit.root.relative_to(root).name for read, unit in job.upstream.items()}


def test_two_judges_of_one_command_are_two_jobs_and_one_split_that_reads_both(resolve, tmp_path) -> None:
    jobs = resolve("stage=judge,split,pack", "judge=timing,llm", BOTH)
    assert list(jobs) == [
        "judge-wtag-scores-timing",
        "judge-wtag-scores-llm",
        "split-wtag-splits",
        "pack-wtag-prepared-knowledge_L4096_I10",
    ]
    split = jobs["split-wtag-splits"]
    assert folders(split, tmp_path) == {"generate": "scripted", "judge@llm": "llm", "judge@timing": "timing"}
    for name in ("timing", "llm"):
        judge = jobs[f"judge-wtag-scores-{name}"]
        assert split.upstream[f"judge@{name}"] == judge.unit
        assert split.settings["reads"][f"judge@{name}"] == judge.settings
    assert jobs["pack-wtag-prepared-knowledge_L4096_I10"].settings["reads"]["split"] == split.settings


def test_the_judge_composed_changes_nothing_for_what_does_not_read_it(resolve) -> None:
    found = [
        {name: job.fingerprint for name, job in resolve("stage=split,pack", *words).items()}
        for words in ([], ["judge=llm"], ["judge=llm", "judge.seed=7"], ["judge=llm,timing"])
    ]
    assert len(found[0]) == 2 and all(one == found[0] for one in found)


def test_the_order_of_judges_changes_nothing(resolve) -> None:
    there = resolve("stage=judge,split", "judge=timing,llm", BOTH)
    back = resolve("stage=judge,split", "judge=llm,timing", BOTH)
    assert {name: job.fingerprint for name, job in there.items()} == {
        name: job.fingerprint for name, job in back.items()
    }
    alone = resolve("stage=split", "judge=llm", BOTH)
    assert alone["split-wtag-splits"].fingerprint == there["split-wtag-splits"].fingerprint


def test_a_judge_that_is_not_composed_is_known_by_its_folder(resolve) -> None:
    composed = resolve("stage=judge,split", "judge=llm", "judge.num_samples=5", BOTH)
    keep_manifest(composed["judge-wtag-scores-llm"])
    for words in (["stage=split"], ["stage=split,pack"], ["stage=judge,split", "judge=timing"]):
        split = resolve(*words, BOTH)["split-wtag-splits"]
        assert split.settings == composed["split-wtag-splits"].settings


def test_scores_made_again_with_other_settings_make_the_split_stale_and_name_them(resolve) -> None:
    composed = resolve("stage=judge,split", "judge=timing,llm", BOTH)
    for job in composed.values():
        keep_manifest(job)
    assert resolve("stage=split", BOTH)["split-wtag-splits"].fingerprint == composed["split-wtag-splits"].fingerprint
    keep_manifest(
        resolve("stage=judge", "judge=llm", "judge.num_samples=5", "on_stale=rebuild")["judge-wtag-scores-llm"]
    )
    with pytest.raises(ConfigError) as error:
        resolve("stage=split", BOTH)
    assert "splits was made with other settings: judge.num_samples of judge (llm) is 3 there and 5 now" in str(
        error.value
    )
    resolve("stage=split", BOTH, "on_stale=rebuild")
    assert list(resolve.stale) == ["split-wtag-splits"]


def test_dialogs_made_again_make_old_scores_unusable(resolve) -> None:
    for job in resolve("stage=judge", "judge=timing,llm", BOTH).values():
        keep_manifest(job)
    with pytest.raises(ConfigError) as error:
        resolve("stage=split", "split.score=llm", "generate.seed=1")
    assert str(error.value).startswith(
        "processed_data/wtag/scores/llm, which split reads, was made with other settings: generate.seed "
        "is 42 there and 1 now. Use the old values, or redo it with stage=judge judge=llm on_stale=rebuild"
    )


def test_scores_that_were_put_away_are_known_by_what_was_made_of_them(resolve) -> None:
    composed = resolve("stage=judge,split", "judge=llm", "judge.seed=7", "split.score=llm")
    keep_manifest(composed["split-wtag-splits"])
    found = resolve("stage=split", "split.score=llm")["split-wtag-splits"]
    assert found.settings == composed["split-wtag-splits"].settings


@pytest.mark.parametrize("stage", ["split", "pack", "judge,split"])
def test_a_judge_of_which_nothing_is_there_stops_the_command(stage: str, resolve) -> None:
    with pytest.raises(ConfigError) as error:
        resolve(f"stage={stage}", BOTH)
    assert str(error.value) == (
        "split.filter names the judge 'llm', but there are no scores/llm of wtag; "
        "run stage=judge judge=llm first or with it"
    )


def test_a_misspelt_judge_is_named_with_the_nearest(resolve) -> None:
    with pytest.raises(ConfigError, match=r"^split.score names the judge 'tming', but .* Did you mean 'timing'\?"):
        resolve("stage=split", "split.score=tming")
    keep_manifest(resolve("stage=judge", "judge=llm", "judge.name=other_model")["judge-wtag-scores-other_model"])
    with pytest.raises(ConfigError, match=r"names the judge 'other', .* Did you mean 'other_model'\?"):
        resolve("stage=split", "split.score=other")
    split = resolve("stage=split", "split.score=other_model.correctness")["split-wtag-splits"]
    assert split.settings["reads"]["judge@other_model"]["judge"]["name"] == "other_model"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["split.filter='timing.no_resp_user_turn == 0'"], "Did you mean 'no_resp_user_turns'?"),
        (["judge=llm", "split.score=llm.corectness"], "split.score is 'llm.corectness': judge 'llm' gives no value"),
        (["split.filter='timing >'"], "split.filter is 'timing >': it cannot be read at position 9"),
        (["split.score='2 * timing'", "compat=reference"], "compat=reference knows no other score"),
        (["split.score=5"], "'split.score' is 5; it must be a text"),
    ],
)
def test_a_mistake_in_an_expression_is_found_before_any_work(words: list[str], expected: str, resolve) -> None:
    with pytest.raises(ConfigError) as error:
        resolve("stage=split", *words)
    assert expected in str(error.value)


def test_an_item_waits_for_each_judge_under_its_name(resolve, tmp_path) -> None:
    job = resolve("stage=split", "judge=llm", BOTH)["split-wtag-splits"]
    workspace = Workspace(job.stage, job.upstream, Layout(tmp_path).data_root)
    assert workspace.missing(ITEM) == ["generate", "judge@llm", "judge@timing"]
    assert not workspace.is_complete(ITEM)
    with pytest.raises(Blocked, match=r"^waiting for judge \(llm\) \(not done yet\)$"):
        workspace.read("judge@llm", ITEM.key)
    assert upstream_key(ITEM, "judge@llm") == "T1-a" and upstream_key(ITEM, "extract") == "T1"


def test_what_an_item_is_made_from_depends_on_which_judge_it_is(resolve, tmp_path) -> None:
    def inputs(*words: str) -> Any:
        job = resolve("stage=split", "judge=llm", *words)["split-wtag-splits"]
        return Workspace(job.stage, job.upstream, tmp_path).inputs(ITEM, "train")

    assert inputs("split.score=llm") == inputs("split.score=llm", "split.filter='llm > 2'")
    assert len({inputs(), inputs("split.score=llm"), inputs(BOTH)}) == 3
