"""What is planned for later stages before earlier ones of the same command have run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from launchers.run import stand_on_ground
from mmassist.core.errors import ConfigError
from tests.e2e.commands import SMALL_TASKS, run, words_of

pytestmark = pytest.mark.long

BOTH = ("stage=extract,encode", "dataset=wtag", *SMALL_TASKS)


@pytest.fixture
def root(demo_root: Path, tmp_path: Path) -> Path:
    shutil.copytree(demo_root, tmp_path / "root")
    return tmp_path / "root"


def plans(root: Path, *words: str):
    """The plans of a command that would go to SLURM; planning does not ask for one."""
    line = [*words_of(*words, launcher="slurm"), "cluster=demo", f"paths.data_root={root}"]
    ground = stand_on_ground(line)
    return {job.stage.name: plan for job, plan in zip(ground.jobs, ground.plan_all(), strict=True)}


def some_video(root: Path) -> Path:
    return sorted((root / "datasets" / "WTaG").rglob("*.mpeg"))[0]


def test_features_of_a_replaced_video_are_made_again_by_the_same_command(root):
    run(root, words_of(*BOTH))
    video = some_video(root)
    with video.open("ab") as file:
        file.write(bytes(188))  # another size is another video
    with pytest.raises(ConfigError, match="on_stale=rebuild"):
        plans(root, *BOTH)
    found = plans(root, *BOTH, "on_stale=rebuild")
    assert found["extract"].why == {"inputs changed": 1}
    assert found["encode"].why == {"extract is made again": 1} and found["encode"].num_items == 1
    assert len(found["encode"].retire) == 1


def test_items_behind_a_failure_are_not_sent_to_wait_for_it(root):
    some_video(root).write_bytes(b"no video at all")
    run(root, words_of(*BOTH), 1)
    later = plans(root, *BOTH)
    assert later["extract"].num_items == 0 and later["extract"].num_failed == 1
    assert later["encode"].num_items == 0 and later["encode"].held_back == {"extract": 1}
    mended = plans(root, *BOTH, "retry=failed")
    assert (mended["extract"].num_items, mended["encode"].num_items, mended["encode"].held_back) == (1, 1, {})


def test_a_stage_without_its_earlier_one_has_nothing_to_do(root):
    found = plans(root, "stage=encode", "dataset=wtag")
    assert found["encode"].num_items == 0 and found["encode"].held_back["extract"] > 1
    assert found["encode"].tasks  # they are cut all the same, so that shards do not depend on what failed when


def test_what_an_earlier_stage_left_out_is_not_waited_for(root):
    """A recording without its video is a decision, which encode takes over."""
    some_video(root).unlink()
    run(root, words_of("stage=extract", "dataset=wtag", *SMALL_TASKS))
    found = plans(root, "stage=encode", "dataset=wtag", *SMALL_TASKS)
    assert found["encode"].held_back == {} and found["encode"].num_items > 1
