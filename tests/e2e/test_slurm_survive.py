"""Whatever ends a job on a real SLURM, the same bytes come out in the end, and what happened is on record."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time

import pytest

from mmassist.io.layout import Layout
from mmassist.io.ledger import iter_rows, load_outcomes
from slurm.private.failures import crash_node, kill_controller, kill_daemon
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
from tests.e2e.commands import ALL_STAGES, SMALL_TASKS, contents, fresh_copy, run
from tools.rehearsal.at_work import let_go, workers_of

pytestmark = pytest.mark.usefixtures("private_slurm")
EXTRACT = ("stage=extract", "dataset=holoassist", *SMALL_TASKS, "extract.num_workers=1", "cluster.max_running=1")


def made_of(finished, *folders):
    """Hashes of a finished root's shards and indices of HoloAssist below some folders."""
    wanted = tuple(f"processed_data/holoassist/{folder}/" for folder in folders or ("frames",))
    return {path: sha for path, sha in contents(finished).items() if path.startswith(wanted)}


@pytest.fixture
def at_work(sources, tmp_path):
    """A run of extract, one element of one worker, that is halted after its first item: its root, receipt and life."""
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT)
    return root, receipt, catch_at_work(root, receipt, "extract", least=1)


def items_done_twice(root, stage="frames"):
    """Items that were made more than once although nothing was said against their first making."""
    folder = Layout(root).unit("holoassist", stage).done_log_dir
    made = [row["item"] for path in folder.glob("*") for row in iter_rows(path)]
    return {item for item in made if made.count(item) > 1}


def life_of(root, receipt, element, start):
    found = [life for life in lives(root, receipt) if (life["element"], life["start"]) == (element, start)]
    return found[0] if found else None


def wait_for_end(root, receipt, life, end, seconds=120):
    """Wait until a life has ended as expected, and the next of its element has too."""
    wait_until(lambda: (life_of(root, receipt, life["element"], life["start"]) or {})["end"] == end, seconds)


def test_a_killed_worker_costs_one_more_attempt_at_one_item(at_work, finished):
    root, receipt, life = at_work
    (victim, *_) = workers_of(life)
    os.kill(victim, signal.SIGKILL)
    wait_over(receipt)
    assert set(states(receipt).values()) == {"COMPLETED"}
    assert contents(root) == made_of(finished)
    rows = load_outcomes(Layout(root).unit("holoassist", "frames").ledger_dir)
    assert [(row.reason, row.attempt) for row in rows.values()] in (
        [("killed", 1)],
        [],
    )  # none: between two items
    assert items_done_twice(root) == set()


def test_a_preempted_element_goes_on_where_it_was(at_work, finished):
    root, receipt, life = at_work
    urgent = ask("sbatch", "--parsable", "-p", "urgent", "-N4", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 4")
    wait_for_end(root, receipt, life, "requeued")
    wait_over(receipt)
    assert urgent and life_of(root, receipt, life["element"], 1)["end"] == "completed"
    assert contents(root) == made_of(finished)
    assert items_done_twice(root) == set()


def test_a_time_limit_is_answered_with_a_new_start(sources, finished, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT, "extract.timeout_min=1", "cluster.signal_delay_s=30")
    life = catch_at_work(root, receipt, "extract", least=1)
    wait_for_end(root, receipt, life, "requeued", 180)
    wait_over(receipt)
    assert life_of(root, receipt, life["element"], 1)["end"] == "completed"
    assert set(states(receipt).values()) == {"COMPLETED"}
    assert contents(root) == made_of(finished)


def test_requeues_by_hand_are_counted_and_limited(sources, finished, tmp_path):
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT, "cluster.max_requeues=1")
    for start in (0, 1):
        life = catch_at_work(root, receipt, "extract", start)
        subprocess.run(["scontrol", "requeue", life["job_id"]], check=True)
    third = wait_until(lambda: life_of(root, receipt, life["element"], 2), 120)
    wait_over(receipt)
    third = life_of(root, receipt, third["element"], 2)
    assert third["end"] == "failed" and "cluster.max_requeues=1" in third["message"]
    assert states(receipt)[life["job_id"]] == "FAILED"
    again = submit(root, *EXTRACT)
    wait_over(again)
    assert contents(root) == made_of(finished)


def test_a_node_without_power_loses_nothing(at_work, finished, private_slurm):
    root, receipt, life = at_work
    crash_node(private_slurm, life["node"])
    wait_until(lambda: life_of(root, receipt, life["element"], 1), 120)
    wait_over(receipt)
    private_slurm.up()
    assert life_of(root, receipt, life["element"], 0)["end"] == ""  # it had no time to say anything
    assert life_of(root, receipt, life["element"], 1)["end"] == "completed"
    assert contents(root) == made_of(finished)
    assert items_done_twice(root) == set()


def test_a_cut_off_node_and_its_twin_make_one_output(at_work, finished, private_slurm):
    """The node's daemon is killed, its job lives on; SLURM starts the same element on another node."""
    root, receipt, life = at_work
    kill_daemon(private_slurm, life["node"])
    twin = catch_at_work(root, receipt, "extract", 1)
    assert twin["node"] != life["node"] and workers_of(life)
    let_go(life)
    let_go(twin)
    wait_over(receipt)
    wait_until(lambda: not workers_of(life), 60)
    private_slurm.up()
    assert contents(root) == made_of(finished)
    assert not list((root / "processed_data").rglob("*.tmp"))
    assert "all is done" in run(root, slurm_words(*EXTRACT))


def test_a_killed_controller_changes_nothing(sources, finished, tmp_path, private_slurm):
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, "stage=extract,encode", "dataset=holoassist", *SMALL_TASKS)
    life = catch_at_work(root, receipt, "extract")
    time.sleep(12)  # the controller keeps what it knows every few seconds
    kill_controller(private_slurm)
    let_go(life)
    wait_until(lambda: life_of(root, receipt, life["element"], 0)["ended"], 120)  # without a controller
    private_slurm.up()
    wait_over(receipt)
    assert contents(root) == made_of(finished, "frames", "features")


def strike(root, receipt, draw, spared):
    """Do something bad to a random element that is alive; False when there is none."""
    alive = [life for life in lives(root, receipt) if not life["ended"] and workers_of(life)]
    if not alive:
        return False
    life = draw.choice(alive)
    kinds = ["supervisor", "requeue"] + ["worker"] * (life["job"] not in spared)
    kind = draw.choice(kinds)
    if kind in ("worker", "supervisor"):
        victim = draw.choice(workers_of(life) or [life["pid"]]) if kind == "worker" else life["pid"]
        if kind == "worker":
            spared.add(life["job"])  # a second one under the same item would be the item's fault
        with contextlib.suppress(ProcessLookupError):  # it ended by itself just now
            os.kill(victim, signal.SIGKILL)
    else:
        subprocess.run(["scontrol", "requeue", life["job_id"]], check=False, capture_output=True)
    return True


def strike_often(sources, finished, root, datasets, kills, seed):
    """Random blows over whole runs; a run that is over before enough of them were dealt is submitted again."""
    fresh_copy(sources, root)
    words = (ALL_STAGES, f"dataset={datasets}", *SMALL_TASKS)
    draw, dealt = random.Random(seed), 0
    while dealt < kills:
        receipt, spared = submit(root, *words), set()
        while dealt < kills and ask("squeue", "-h", "-j", ",".join(job_ids(receipt))):
            time.sleep(draw.uniform(0.3, 3.0))
            dealt += strike(root, receipt, draw, spared)
        if dealt < kills:
            wait_over(receipt)
            assert not is_all_there(root, finished, datasets), f"all was done after {dealt} blows"
    wait_over(receipt, 600)
    for _ in range(4):
        if is_all_there(root, finished, datasets):
            break
        wait_over(submit(root, *words), 600)
    wanted = {path: sha for path, sha in contents(finished).items() if path.split("/")[1] in datasets.split(",")}
    assert contents(root) == wanted


def is_all_there(root, finished, datasets):
    wanted = {path for path in contents(finished) if path.split("/")[1] in datasets.split(",")}
    return set(contents(root)) == wanted


def test_five_random_blows_cost_nothing(sources, finished, tmp_path):
    strike_often(sources, finished, tmp_path / "root", "wtag", 5, "five")


@pytest.mark.slow
def test_thirty_random_blows_cost_nothing(sources, finished, tmp_path):
    strike_often(sources, finished, tmp_path / "root", "holoassist,wtag", 30, "thirty")


@pytest.mark.slow
def test_a_time_limit_without_an_answer_is_told_by_slurm(sources, finished, tmp_path):
    """A supervisor that hangs answers no warning: SLURM kills it at the limit, and its records say so."""
    root = fresh_copy(sources, tmp_path / "root")
    receipt = submit(root, *EXTRACT, "extract.timeout_min=1", "cluster.signal_delay_s=30", "cluster.sbatch=[hold]")
    module = Layout(root).run(receipt["run_id"]).code / "launchers" / "element.py"
    hang = "    import signal\n\n    signal.signal(signal.SIGUSR2, signal.SIG_IGN)\n    time.sleep(600)\n"
    module.write_text(module.read_text().replace("def find_place(", f"def hang():\n{hang}\n\ndef find_place(", 1))
    module.write_text(module.read_text().replace("            self._check(run, place)\n", "            hang()\n", 1))
    subprocess.run(["scontrol", "release", *job_ids(receipt)], check=True)
    wait_over(receipt, 240)
    assert set(states(receipt).values()) == {"TIMEOUT"}
    assert "time limit" in run(root, [], 1, "tools.status")
    again = submit(root, *EXTRACT)
    wait_over(again)
    assert contents(root) == made_of(finished)


@pytest.mark.slow
def test_a_preemption_without_a_warning_starts_the_element_again(sources, finished, tmp_path):
    """Sites that do not pass the warning on send SIGTERM and kill later; who ends before that is not started again."""
    options = Options(nodes=1, gpus_per_node=8, accounting="yes", settings=("SlurmctldParameters=enable_configless",))
    root = fresh_copy(sources, tmp_path / "root")
    with own_cluster(options):
        receipt = submit(root, *EXTRACT)
        life = catch_at_work(root, receipt, "extract", least=1)
        ask("sbatch", "-p", "urgent", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1")
        wait_for_end(root, receipt, life, "stopped")
        wait_over(receipt)
        assert life_of(root, receipt, 0, 1)["end"] == "completed"
        assert states(receipt)[life["job_id"]] == "COMPLETED"
        assert contents(root) == made_of(finished)
