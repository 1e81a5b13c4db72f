"""Jobs on a real SLURM of virtual nodes: submitted at once, finished without anybody watching, refused in time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mmassist.io.layout import Layout
from slurm.private.options import Options
from tests.e2e.cluster import (
    ask,
    catch_at_work,
    job_ids,
    lives,
    own_cluster,
    slurm_words,
    states,
    submit,
    wait_over,
    wait_until,
)
from tests.e2e.commands import ALL_STAGES, REPOSITORY, SMALL_TASKS, contents, fresh_copy, leftovers, run, words_of
from tools.rehearsal.at_work import workers_of

pytestmark = pytest.mark.usefixtures("private_slurm")
EXTRACT = ("stage=extract", "dataset=wtag", *SMALL_TASKS)


def of(finished, dataset, *folders):
    """Hashes of a finished root's shards and indices below some folders of a source."""
    return {
        p: sha for p, sha in contents(finished).items() if p.split("/")[1] == dataset and p.split("/")[2] in folders
    }


def test_all_stages_of_two_sources_give_the_same_bytes(sources, finished, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    words = (ALL_STAGES, "dataset=holoassist,wtag", *SMALL_TASKS)
    receipt = submit(root, *words)
    ids = {row["job"]: row["job_ids"] for row in receipt["jobs"]}
    after = {row["job"]: set(row["after"]) for row in receipt["jobs"]}
    encode, extract, pack = (f"{stage}-wtag-" for stage in ("encode", "extract", "pack"))
    of_stage = {stage: next(job for job in ids if job.startswith(stage)) for stage in (encode, extract, pack)}
    assert after[of_stage[encode]] == set(ids[of_stage[extract]])  # and not the dialogs
    assert set(ids["split-wtag-splits"]) <= after[of_stage[pack]]
    assert "is in use by run" in run(root, slurm_words(*words), 2)  # the submitted jobs hold the folders
    wait_over(receipt, 400)
    assert set(states(receipt).values()) == {"COMPLETED"}
    assert contents(root) == contents(finished)
    assert "all is done: nothing to do" in run(root, slurm_words(*words))
    assert [path for path in leftovers(root) if not path.endswith("/lock")] == []
    row = next(row for row in receipt["jobs"] if row["stage"] == "encode")
    assert row["request"]["num_workers"] >= 1 and receipt["versions"]["python"]


def both_workers(root, receipt):
    found = [workers_of(life) for life in lives(root, receipt)]
    return next((pids for pids in found if len(pids) == 2), None)


def test_each_worker_has_its_share_of_the_gpus(sources, tmp_path):
    """Two workers on eight GPUs are given four each, and no folder of theirs is the other's."""
    root = fresh_copy(sources, tmp_path / "root")
    run(root, words_of(*EXTRACT))
    words = ("encode.num_workers=2", "encode.gpus_per_node=8", "encode.cpus_per_task=8")
    receipt = submit(root, "stage=encode", "dataset=wtag", *SMALL_TASKS, *words)
    pids = wait_until(lambda: both_workers(root, receipt), 60, 0.05)
    texts = [Path(f"/proc/{pid}/environ").read_text().split("\0") for pid in pids]
    found = [dict(word.split("=", 1) for word in text if "=" in word) for text in texts]
    assert sorted(one["CUDA_VISIBLE_DEVICES"] for one in found) == ["0,1,2,3", "4,5,6,7"]
    for name in ("TMPDIR", "TRITON_CACHE_DIR", "VLLM_CACHE_ROOT"):
        assert len({one[name] for one in found}) == 2
    wait_over(receipt)
    assert {(life["gpus"], life["end"]) for life in lives(root, receipt)} == {(8, "completed")}
    assert not Path(found[0]["TMPDIR"]).exists()  # nothing is left on the node


def test_what_the_cluster_lacks_is_found_before_anything_is_made(sources, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    for words, said in (
        (["cluster.partition=nowhere"], "cluster.partition"),
        (["extract.cpus_per_task=17"], "extract.cpus_per_task"),
        (["extract.mem_gb=100"], "extract.mem_gb"),
        (["extract.gpus_per_node=9", "extract.num_workers=9"], "extract.gpus_per_node"),
        (["cluster.constraint=moon"], "cluster.constraint"),
    ):
        text = run(root, slurm_words(*EXTRACT, *words), 2)
        assert text.startswith("error: ") and said in text and len(text.splitlines()) == 1, text
    assert not (root / "processed_data").exists() and not (root / "runs").exists()


def test_what_slurm_refuses_is_said_in_its_words_and_nothing_is_left(sources, tmp_path):
    """The first stage is taken, the second refused: none of them may stay in the queue."""
    root = fresh_copy(sources, tmp_path / "root")
    before = ask("squeue", "-h", "-t", "all", "-o", "%i")
    words = ("stage=extract,encode", "dataset=wtag", "cluster.sbatch=['nodelist=elsewhere']")
    text = run(root, slurm_words(*words), 2)
    assert "Invalid node name" in text and "SLURM" in text, text
    assert not list((root / "runs").iterdir())
    assert not Layout(root).unit("wtag", "frames").lock.exists()
    assert ask("squeue", "-h", "-o", "%i") == "" or ask("squeue", "-h", "-t", "all", "-o", "%i") == before


def test_two_submissions_at_once_do_not_share_a_folder(sources, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT, "cluster.sbatch=[hold]")
    text = run(root, slurm_words(*EXTRACT), 2)
    assert f"is in use by run {receipt['run_id']} (jobs {', '.join(job_ids(receipt))})" in text
    assert len(list((root / "runs").iterdir())) == 1
    cancelled = run(root, [receipt["run_id"], "--yes"], 0, "tools.cancel")
    assert job_ids(receipt)[0] in cancelled
    wait_over(receipt)
    again = submit(root, *EXTRACT)  # what was cancelled holds nothing any more
    wait_over(again)


def test_a_later_command_waits_for_the_jobs_of_an_earlier_one(sources, finished, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    first = submit(root, *EXTRACT, "cluster.sbatch=[hold]")
    second = submit(root, "stage=encode", "dataset=wtag", *SMALL_TASKS)
    assert second["jobs"][0]["after"] == job_ids(first)
    subprocess.run(["scontrol", "release", *job_ids(first)], check=True)
    wait_over(second)
    assert contents(root) == of(finished, "wtag", "frames", "features")


def test_the_checkout_may_be_edited_while_jobs_wait(sources, finished, tmp_path):
    checkout = tmp_path / "checkout"
    for name in ("conf", "launchers", "mmassist"):
        shutil.copytree(REPOSITORY / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    root = fresh_copy(sources, tmp_path / "root")
    command = [sys.executable, "-m", "launchers.run", *slurm_words(*EXTRACT, "cluster.sbatch=[hold]")]
    environment = {**os.environ, "DATA_ROOT_DIR": str(root)}
    subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True)
    for path in (checkout / "launchers" / "worker.py", checkout / "mmassist" / "__init__.py"):
        path.write_text("raise SystemExit('edited')\n")
    (path,) = (root / "runs").glob("*/receipt.json")
    receipt = json.loads(path.read_text())
    subprocess.run(["scontrol", "release", *job_ids(receipt)], check=True)
    wait_over(receipt)
    assert set(states(receipt).values()) == {"COMPLETED"}
    assert contents(root) == of(finished, "wtag", "frames")


def test_a_changed_environment_is_noticed(sources, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT, "cluster.sbatch=[hold]")
    path = Layout(root).run(receipt["run_id"]).receipt
    receipt["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(receipt))
    subprocess.run(["scontrol", "release", *job_ids(receipt)], check=True)
    wait_over(receipt)
    assert set(states(receipt).values()) == {"FAILED"}
    assert "numpy was 1.0, is " in lives(root, receipt)[0]["message"]


def test_half_a_submission_does_nothing(sources, tmp_path):
    """The submitting process dies before the receipt is there: its jobs say so and end."""
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT, "cluster.sbatch=[hold]")
    run_dir = Layout(root).run(receipt["run_id"])
    run_dir.receipt.unlink()
    element = run_dir.code / "launchers" / "element.py"
    element.write_text(element.read_text().replace("RECEIPT_WAIT_S = 120.0", "RECEIPT_WAIT_S = 2.0"))
    subprocess.run(["scontrol", "release", *job_ids(receipt)], check=True)
    wait_over(receipt)
    assert set(states(receipt).values()) == {"FAILED"}
    assert "was never submitted to its end" in lives(root, receipt)[0]["message"]
    assert contents(root) == {}


def test_failed_is_failed_and_what_comes_after_does_not_wait_for_ever(sources, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(sources / "datasets", root / "datasets")
    for video in (root / "datasets" / "WTaG").rglob("*.mpeg"):
        video.write_bytes(b"no video at all")
    receipt = submit(root, "stage=extract,encode", "dataset=wtag", *SMALL_TASKS)
    wait_over(receipt)
    assert set(states(receipt, "extract").values()) == {"FAILED"}
    assert set(states(receipt, "encode").values()) == {"FAILED"}  # it found nothing to work on, and says so
    assert "could not be committed" in lives(root, receipt, "extract")[0]["message"]
    text = run(root, ["dataset=wtag"], 1, "tools.status")
    assert "failed" in text


def test_an_array_wider_than_the_cluster_allows(sources, finished, tmp_path):
    """A cluster of its own whose arrays end at index 1, and which keeps no accounts."""
    options = Options(nodes=2, gpus_per_node=8, accounting="no", settings=("MaxArraySize=2",))
    root = fresh_copy(sources, tmp_path / "root")
    with own_cluster(options):
        words = ("extract.num_workers=1", "cluster.max_running=4")
        receipt = submit(root, "stage=extract", "dataset=holoassist,wtag", *SMALL_TASKS, *words)
        for row in receipt["jobs"]:
            numbers = [range(w["first"], w["first"] + w["count"]) for w in row["windows"]]
            assert sorted(i for one in numbers for i in one) == list(range(row["elements"]))
            assert all(w["count"] <= 2 for w in row["windows"]) and len(row["windows"]) == len(row["job_ids"])
        assert any(len(row["windows"]) > 1 for row in receipt["jobs"])
        wait_over(receipt)
        assert {life["end"] for life in lives(root, receipt)} == {"completed"}
        assert contents(root) == {**of(finished, "wtag", "frames"), **of(finished, "holoassist", "frames")}
        _check_death_without_accounts(root, sources, tmp_path)


def _check_death_without_accounts(root, sources, tmp_path):
    """Where nobody keeps accounts, a job that died without a word is not waited for."""
    root = fresh_copy(sources, tmp_path / "other")
    receipt = submit(root, *EXTRACT)
    life = catch_at_work(root, receipt, "extract")
    os.kill(life["pid"], 9)
    wait_over(receipt)
    (after,) = [one for one in lives(root, receipt) if one["job_id"] == life["job_id"]]
    assert after["end"] == ""  # it could not say anything
    assert "died" in run(root, [receipt["run_id"]], 1, "tools.status")
    again = submit(root, *EXTRACT)
    wait_over(again)
    assert {one["end"] for one in lives(root, again)} == {"completed"}


def test_submitting_is_quick(sources, tmp_path):
    """The receipt is there long before the work is done; nothing of the command stays alive."""
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT, "cluster.sbatch=[hold]")
    assert not Path(f"/proc/{receipt['pid']}").exists()
    assert ask("squeue", "-h", "-o", "%T", "-j", job_ids(receipt)[0]) == "PENDING"
    subprocess.run(["scancel", *job_ids(receipt)], check=True)
    wait_over(receipt)
