"""Odd hours of a submission to a real SLURM: stopped halfway, started from inside a job, halted, or sent elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from mmassist.io.layout import Layout
from tests.e2e.cluster import ask, catch_at_work, job_ids, lives, slurm_words, submit, wait_over, wait_until
from tests.e2e.commands import ALL_STAGES, REPOSITORY, SMALL_TASKS, contents, fresh_copy, run, start, words_of
from tools.rehearsal.at_work import let_go

pytestmark = pytest.mark.usefixtures("private_slurm")
EXTRACT = ("stage=extract", "dataset=wtag", *SMALL_TASKS, "extract.num_workers=1", "cluster.max_running=1")


def jobs_of(root):
    """Rows of SLURM's queue for jobs that work below a data root."""
    return [row for row in ask("squeue", "-h", "-o", "%i %Z").splitlines() if f"{root}/" in row]


def frames_of_wtag(finished):
    return {path: sha for path, sha in contents(finished).items() if path.startswith("processed_data/wtag/frames/")}


def start_to_submit(root):
    """Start a submission of many stages; returns its process when SLURM has the first of them, or it is over."""
    process = start(root, slurm_words(ALL_STAGES, "dataset=wtag", *SMALL_TASKS))
    wait_until(lambda: jobs_of(root) or process.poll() is not None, 60, 0.02)
    return process


def stop_halfway(sources, folder, number):
    """Send a signal to a submission of many stages when SLURM has taken some of them; returns its data root.

    One that was over before it could be caught is forgotten.
    """
    for attempt in range(10):
        root = fresh_copy(sources, folder / f"root-{attempt}")
        process = start_to_submit(root)
        process.send_signal(signal.SIGSTOP)  # however busy the machine is, the signal meets what is seen now
        if not list(Layout(root).runs.glob("*/receipt.json")):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            text, _ = process.communicate(timeout=120)
            assert "Traceback" not in text
            assert process.returncode == (130 if number == signal.SIGTERM else -number), text
            return root
        process.send_signal(signal.SIGCONT)
        process.communicate(timeout=120)
        subprocess.run(["scancel", "--me"], check=True)
    raise AssertionError("every submission was over at once")


def test_a_stopped_submission_leaves_nothing(sources, tmp_path):
    root = stop_halfway(sources, tmp_path, signal.SIGTERM)
    wait_until(lambda: not jobs_of(root), 30)
    assert list(Layout(root).runs.iterdir()) == []
    assert not list((root / "processed_data").rglob("lock"))


def test_a_killed_submission_does_no_work_and_is_in_nobodys_way(sources, finished, tmp_path):
    root = stop_halfway(sources, tmp_path, signal.SIGKILL)
    (half,) = Layout(root).runs.iterdir()
    again = submit(root, *EXTRACT)
    cancelled = run(root, [half.name, "--yes"], 0, "tools.cancel")  # no receipt names its jobs, SLURM's queue does
    assert "cancelled" in cancelled
    wait_over(again)
    wait_until(lambda: not jobs_of(root), 60)
    assert contents(root) == frames_of_wtag(finished)
    begun = lives(root, {"run_id": half.name})
    assert {(life["tasks"], life["end"]) for life in begun} <= {(0, "stopped"), (0, "failed"), (0, "")}


OUTER = {
    "memory": ["srun", "-n1", "-c1", "--gpus-per-node=1", "--mem=2G", "--time=3", "--signal=USR1@10"],
    "memory of a CPU": ["srun", "-n1", "-c1", "--mem-per-cpu=500", "--cpu-bind=none", "--time=3"],
}


@pytest.mark.parametrize("outer", OUTER.values(), ids=OUTER.keys())
def test_a_submission_from_inside_a_job_asks_for_its_own_resources(sources, finished, tmp_path, outer):
    """What the outer job has (one CPU, a GPU, a signal, three minutes, restarts) does not reach the inner ones."""
    root = fresh_copy(sources, tmp_path / "root")
    inner = [sys.executable, "-m", "launchers.run", *slurm_words(*EXTRACT, "cluster.sbatch=[hold]")]
    names = {"SLURM_RESTART_COUNT": "3", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "7"}  # an outer array's
    inner = ["env", *(f"{name}={value}" for name, value in names.items()), *inner]
    environment = {**os.environ, "DATA_ROOT_DIR": str(root), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*outer, *inner], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (job_id,) = (row.split(" ")[0] for row in jobs_of(root))
    assert ask("squeue", "-h", "-o", "%l %C %m %b", "-j", job_id) == "1-00:00:00 4 16G N/A"
    subprocess.run(["scontrol", "release", job_id], check=True)
    wait_until(lambda: not jobs_of(root), 120)
    (path,) = Layout(root).runs.glob("*/lives/*/*.json")
    life = json.loads(path.read_text())
    assert (life["job_id"], life["start"], life["end"]) == (job_id, 0, "completed")
    assert contents(root) == frames_of_wtag(finished)


def test_what_the_shell_says_to_sbatch_counts_for_nothing(sources, tmp_path, monkeypatch):
    root = fresh_copy(sources, tmp_path / "root")
    for name, value in {"PARTITION": "urgent", "TIMELIMIT": "7", "NO_REQUEUE": "1", "ARRAY_INX": "0-1"}.items():
        monkeypatch.setenv(f"SBATCH_{name}", value)
    text = run(root, slurm_words(*EXTRACT, "cluster.partition=main", "cluster.sbatch=[hold]"))
    assert "note: SBATCH_ARRAY_INX, SBATCH_NO_REQUEUE, SBATCH_PARTITION, SBATCH_TIMELIMIT of this shell" in text
    (job_id,) = (row.split(" ")[0] for row in jobs_of(root))
    shown = ask("scontrol", "-o", "show", "job", job_id)
    assert " Partition=main " in shown and " TimeLimit=1-00:00:00 " in shown and " Requeue=1 " in shown
    assert "ArrayTaskId" not in shown
    subprocess.run(["scancel", job_id], check=True)


def test_features_of_a_replaced_video_are_made_again(sources, tmp_path):
    """Both stages are planned before either runs: what the first makes again is stale for the second."""
    root = tmp_path / "root"
    shutil.copytree(sources / "datasets", root / "datasets")
    words = ("stage=extract,encode", "dataset=wtag", *SMALL_TASKS)
    wait_over(submit(root, *words))
    first = contents(root)
    video, other, *_ = sorted((root / "datasets" / "WTaG").rglob("*.mpeg"))
    video.write_bytes(other.read_bytes())
    wait_over(submit(root, *words, "on_stale=rebuild"))
    assert "all is done: nothing to do" in run(root, slurm_words(*words))
    anew = tmp_path / "anew"
    shutil.copytree(root / "datasets", anew / "datasets")
    run(anew, words_of(*words))
    assert contents(root) == contents(anew) != first


def test_a_data_root_with_an_odd_name(sources, finished, tmp_path):
    root = fresh_copy(sources, tmp_path / "dä ta$x 'q")
    receipt = submit(root, *EXTRACT)
    wait_over(receipt)
    assert {life["end"] for life in lives(root, receipt)} == {"completed"}
    assert contents(root) == frames_of_wtag(finished)


def test_a_halted_and_a_held_job_keep_their_folder(sources, finished, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT)
    life = catch_at_work(root, receipt, "extract")
    subprocess.run(["scontrol", "suspend", life["job_id"]], check=True)
    for words in ((), ("retry=all",), ("limit=1",), ("extract.jpeg_quality=50", "on_stale=rebuild")):
        text = run(root, slurm_words(*EXTRACT, *words), 2)
        assert f"is in use by run {receipt['run_id']} (jobs {job_ids(receipt)[0]})" in text
    subprocess.run(["scontrol", "resume", life["job_id"]], check=True)
    subprocess.run(["scontrol", "requeuehold", life["job_id"]], check=True)
    let_go(life)
    wait_until(lambda: ask("squeue", "-h", "-o", "%T", "-j", life["job_id"]) == "PENDING", 60)
    assert "is in use by run" in run(root, slurm_words(*EXTRACT), 2)
    subprocess.run(["scontrol", "release", life["job_id"]], check=True)
    wait_over(receipt)
    assert contents(root) == frames_of_wtag(finished)


def test_jobs_whose_run_folder_is_gone_end_by_themselves(sources, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT, "cluster.sbatch=[hold]")
    run_folder = Layout(root).run(receipt["run_id"]).root
    run_folder.rename(tmp_path / "elsewhere")
    subprocess.run(["scontrol", "release", *job_ids(receipt)], check=True)
    wait_over(receipt, 120)
    assert not list((root / "processed_data").rglob("*.tar"))
    wait_over(submit(root, *EXTRACT))
