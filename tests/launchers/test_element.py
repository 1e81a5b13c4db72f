"""One array element on its node, without a SLURM: what it checks, what it says in its life file, when it asks again."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from launchers import element as element_module
from launchers import receipts
from launchers.element import ElementRun, Resources, find_place
from launchers.supervise import Stopped
from launchers.versions import installed_versions
from mmassist.core.errors import StageError
from mmassist.io.atomic import write_json
from mmassist.io.layout import RunLayout

JOB = "encode-wtag-features-tiny"
RESOURCES = Resources(
    num_workers=8,
    gpus=8,
    mem_gb=64.0,
    item_timeout_s=600.0,
    max_fail_ratio=0.3,
    signal_delay_s=120,
    max_requeues=3,
    scratch_dir=None,
    python=sys.executable,
    environment={"HF_HUB_OFFLINE": "1"},
)


class Node:
    """A node with a run folder, on which a supervisor does as it is told and ``scontrol`` fails as often as it is."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch):
        self.root, self._patch = root, patch
        self.run = RunLayout(root / "runs" / "r1")
        self.given: dict[str, Any] = {}
        self.act: Callable[[], None] = lambda: None
        self.uncommitted: list[str] = []
        self.pauses: list[tuple[float, str]] = []  # how long, and what the life said of its end then
        write_json(self.run.receipt, {"run_id": "r1", "versions": installed_versions()})
        self.give_tasks("000000", "000001", "000002")
        (root / "bin").mkdir()
        patch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")
        patch.setenv("SLURM_JOB_ID", "94")
        patch.setenv("SLURM_ARRAY_JOB_ID", "77")
        patch.setenv("SLURM_ARRAY_TASK_ID", "5")
        patch.setenv("SLURMD_NODENAME", "n4")
        patch.setattr(element_module, "Supervisor", self._supervisor)
        patch.setattr(element_module, "time", SimpleNamespace(sleep=self._pause))
        self.start_again(0)
        self.let_scontrol_fail(0)

    def _supervisor(self, *values: Any) -> Any:
        names = ["unit", "run_id", "element", "tasks", "num_workers", "limits", "spawn", "report", "life"]
        self.given = dict(zip(names, values, strict=True))
        return SimpleNamespace(run=lambda: self.act(), uncommitted=self.uncommitted)

    def _pause(self, seconds: float) -> None:
        self.pauses.append((seconds, self.life["end"]))

    def give_tasks(self, *names: str) -> None:
        rows = [{"name": name, "weight": 1.0, "items": []} for name in names]
        write_json(self.run.element(JOB, 5), {"tasks": rows})

    def start_again(self, times: int) -> None:
        self._patch.setenv("SLURM_RESTART_COUNT", str(times))
        self._start = times

    def let_scontrol_fail(self, times: int) -> None:
        """Refuse the first ``times`` calls with SLURM's words; every call is noted."""
        script = self.root / "bin" / "scontrol"
        log = self.root / "scontrol.log"
        refusal = "echo 'slurm_update error: Requested operation is presently disabled' >&2; exit 1"
        script.write_text(f'#!/bin/sh\necho "$*" >> {log}\n[ "$(wc -l < {log})" -gt {times} ] || {{ {refusal}; }}\n')
        script.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        """What scontrol was asked."""
        log = self.root / "scontrol.log"
        return log.read_text().splitlines() if log.exists() else []

    def element(self, **resources: Any) -> ElementRun:
        share = replace(RESOURCES, **resources)
        return ElementRun(str(self.root), str(self.run.root), JOB, str(self.root / "unit"), share)

    def work(self, **resources: Any) -> None:
        self.element(**resources)(5)

    def stop_with(self, number: signal.Signals) -> None:
        def act() -> None:
            raise Stopped(number)

        self.act = act

    @property
    def life(self) -> dict[str, Any]:
        return json.loads(self.run.life(JOB, 5, self._start).read_text())

    @property
    def end(self) -> tuple[str, str]:
        return self.life["end"], self.life["message"]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    return Node(tmp_path, monkeypatch)


def test_slurms_variables_say_where_an_element_runs():
    array = {"SLURM_JOB_ID": "94", "SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "5", "SLURMD_NODENAME": "n4"}
    place = find_place(JOB, 205, array | {"SLURM_RESTART_COUNT": "2"})
    assert (place.job, place.element, place.start, place.job_id, place.node) == (JOB, 205, 2, "77_5", "n4")
    assert find_place(JOB, 0, {**array, "SLURM_ARRAY_TASK_ID": "0"}).job_id == "77_0"
    plain = find_place(JOB, 0, {"SLURM_JOB_ID": "94", "SLURM_RESTART_COUNT": ""})
    assert (plain.job_id, plain.start) == ("94", 0) and plain.node == os.uname().nodename
    assert find_place(JOB, 0, {}).job_id == ""


def test_an_element_that_did_all_says_so(node):
    node.work()
    assert node.end == ("completed", "") and node.life["ended"]
    assert (node.life["job_id"], node.life["node"], node.life["gpus"]) == ("77_5", "n4", 8)
    assert node.given["tasks"] == ["000000", "000001", "000002"] and node.given["run_id"] == "r1"
    assert node.asked == []


def test_a_worker_has_its_share_of_the_memory_and_of_the_time_before_the_kill(node):
    node.work()
    limits = node.given["limits"]
    assert node.given["num_workers"] == 3  # there is no work for more
    assert limits.memory_bytes == 64 * 2**30 / 3
    assert (limits.item_timeout_s, limits.max_fail_ratio, limits.requeue_grace_s) == (600.0, 0.3, 90.0)
    node.work(mem_gb=None, signal_delay_s=10, num_workers=1)
    assert node.given["limits"].requeue_grace_s == 5.0
    assert 0 < node.given["limits"].memory_bytes < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_workers_get_their_gpus_and_a_scratch_folder_that_is_gone_afterwards(node, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    spawned: list[dict[str, str]] = []
    monkeypatch.setattr(element_module, "spawn_worker", lambda *values: spawned.append(values[-1]))
    (node.root / "scratch").mkdir()
    node.act = lambda: [node.given["spawn"](child) for child in range(3)] and None
    node.work(scratch_dir=str(node.root / "scratch"))
    assert [one["CUDA_VISIBLE_DEVICES"] for one in spawned] == ["0", "1", "2"]  # of eight workers, not of three
    assert all(Path(one["TMPDIR"]).is_relative_to(node.root / "scratch") for one in spawned)
    assert not list((node.root / "scratch").iterdir())


def test_without_the_scratch_folder_nothing_is_done(node):
    with pytest.raises(StageError, match=r"cluster.scratch_dir is '/no/such/scratch'"):
        node.work(scratch_dir="/no/such/scratch")
    assert node.end[0] == "failed" and "cluster.scratch_dir" in node.end[1] and node.given == {}


def test_half_a_submission_does_nothing(node, monkeypatch):
    monkeypatch.setattr(element_module, "RECEIPT_WAIT_S", -1.0)
    node.run.receipt.unlink()
    with pytest.raises(StageError, match="run r1 was never submitted to its end"):
        node.work()
    assert node.end == ("failed", "run r1 was never submitted to its end; nothing is done for it")
    assert node.given == {}


def test_an_element_that_is_quicker_than_the_submission_waits_for_it(node, monkeypatch):
    receipt = json.loads(node.run.receipt.read_text())
    node.run.receipt.unlink()
    waiting = SimpleNamespace(monotonic=lambda: 0.0, sleep=lambda seconds: write_json(node.run.receipt, receipt))
    monkeypatch.setattr(receipts, "time", waiting)
    node.work()
    assert node.end == ("completed", "")


def test_another_environment_is_refused(node):
    versions = installed_versions() | {"numpy": "1.0", "torch-extra": "2"}
    write_json(node.run.receipt, {"run_id": "r1", "versions": versions})
    with pytest.raises(StageError) as caught:
        node.work()
    now = installed_versions()["numpy"]
    assert f"(numpy was 1.0, is {now}; torch-extra was 2, is absent); submit it again" in str(caught.value)
    assert node.end == ("failed", str(caught.value)) and node.given == {}


def test_tasks_that_stay_open_fail_the_element(node):
    node.uncommitted = ["000000", "000002"]
    with pytest.raises(StageError, match=r"^2 tasks could not be committed \(000000, 000002\): "):
        node.work()
    assert node.end[0] == "failed" and "000002" in node.end[1]
    node.uncommitted = [f"{i:06d}" for i in range(20)]
    with pytest.raises(StageError, match=r"^20 tasks could not be committed \(000000, .*, 000004 …\)"):
        node.work()


def test_what_stops_the_element_is_its_last_word(node):
    def act() -> None:
        raise StageError("weights do not load")

    node.act = act
    with pytest.raises(StageError, match="weights do not load"):
        node.work()
    assert node.end == ("failed", "weights do not load") and node.asked == []


def test_an_error_of_our_own_is_not_taken_for_success(node):
    def act() -> None:
        raise KeyError("a mistake in the code")

    node.act = act
    with pytest.raises(KeyError):
        node.work()
    assert node.end == ("failed", "ended by an unexpected error, see the job's output")


def test_a_warning_asks_slurm_for_a_new_start(node):
    """The exit must be no Exception: submitit would keep one as the result, and never start the element again."""
    node.stop_with(signal.SIGUSR2)
    with pytest.raises(SystemExit) as exit_:
        node.work()
    assert exit_.value.code == 1 and not isinstance(exit_.value, Exception)
    assert node.asked == ["requeue 77_5"] and node.pauses == []
    assert node.end == ("requeued", "a time limit or a preemption came")


def test_a_plain_job_is_requeued_under_its_own_number(node, monkeypatch):
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID")
    node.stop_with(signal.SIGUSR2)
    with pytest.raises(SystemExit):
        node.work()
    assert node.asked == ["requeue 94"]


def test_a_busy_controller_is_asked_again(node):
    node.let_scontrol_fail(element_module.REQUEUE_TRIES - 1)
    node.stop_with(signal.SIGUSR2)
    with pytest.raises(SystemExit):
        node.work()
    assert node.asked == ["requeue 77_5"] * element_module.REQUEUE_TRIES
    assert len(node.pauses) == element_module.REQUEUE_TRIES - 1
    assert node.end[0] == "requeued"


def test_a_site_without_requeues_fails_the_element_in_slurms_words(node):
    node.let_scontrol_fail(99)
    node.stop_with(signal.SIGUSR2)
    with pytest.raises(StageError) as caught:
        node.work()
    assert "SLURM does not start 77_5 again: slurm_update error: Requested operation is " in str(caught.value)
    assert str(caught.value).endswith("run the same command to go on") and "\n" not in str(caught.value)
    assert len(node.asked) == element_module.REQUEUE_TRIES
    assert node.end == ("failed", str(caught.value))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_cancelled_element_does_not_come_back(node, number):
    node.stop_with(number)
    with pytest.raises(StageError, match=f"stopped by {number.name}"):
        node.work()
    assert node.asked == [] and node.end == ("stopped", f"stopped by {number.name}")


def test_a_job_that_slurm_ends_stays_until_it_is_killed(node):
    """One that ends by itself is not started again by a site that preempts with SIGTERM; what it has to say is said."""
    node.stop_with(signal.SIGTERM)
    with pytest.raises(StageError):
        node.work()
    assert node.pauses == [(element_module.KILL_WAIT_S, "stopped")]


def test_the_last_start_that_is_allowed_works_but_does_not_ask_again(node):
    node.start_again(3)
    node.work()
    assert node.end == ("completed", "")
    node.stop_with(signal.SIGUSR2)
    with pytest.raises(StageError) as caught:
        node.work()
    said = "ran into a time limit or a preemption after 3 requeues (cluster.max_requeues=3); run the same command"
    assert str(caught.value).startswith(said)
    assert node.asked == [] and node.end == ("failed", str(caught.value))


def test_one_start_too_many_does_nothing(node):
    """Whatever requeued it, such as a node that fails again and again."""
    node.start_again(4)
    with pytest.raises(StageError, match=r"started again after 4 requeues \(cluster.max_requeues=3\)"):
        node.work()
    assert node.given == {} and node.end[0] == "failed"


def test_every_start_has_a_life_of_its_own(node):
    node.stop_with(signal.SIGUSR2)
    with pytest.raises(SystemExit):
        node.work()
    node.start_again(1)
    node.act = lambda: None
    node.work()
    ends = [json.loads(path.read_text())["end"] for path in sorted(node.run.life_dir(JOB).iterdir())]
    assert ends == ["requeued", "completed"]


def test_a_warning_before_there_is_a_supervisor_means_the_same_element_again(node):
    element = node.element()
    again = element.checkpoint(5)
    assert (again.function, again.args, again.kwargs) == (element, (5,), {})
