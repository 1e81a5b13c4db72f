"""A worker at its task, the plain case aside: second chances, a lost folder, twins, and the lines it leaves."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from launchers.plan import plan_unit, select_items
from launchers.prepare import apply_plan, write_elements
from launchers.work import FailureGauge, TaskRunner, TooManyFailures, record_outcome
from launchers.worker import load_element
from launchers.workspace import Workspace
from mmassist.core.errors import Kind, StageError
from mmassist.core.outcome import Outcome, Status
from mmassist.io.ledger import iter_rows
from mmassist.io.lock import FolderLock, read_holder
from tests.launchers.toy import ToyContext, ToySource
from tests.mmassist.io.disk_faults import hooked, leftovers

RUN = "run-1"


class Texts(dict[str, str]):
    """Texts of items; ``acts`` happen when an item's is asked for, that is while it is in hand."""

    acts: dict[str, Callable[[], None]]

    def __getitem__(self, key: str) -> str:
        if key in self.acts:
            self.acts[key]()
        return super().__getitem__(key)


class Work:
    """One planned task of a toy source, and workers that may be set on it."""

    def __init__(self, source: ToySource, run_id: str = RUN, **command: Any):
        self.source, self.run_id, self.unit = source, run_id, source.unit
        self.job, self.run = source.job(**command), source.layout.run(run_id)
        selection = select_items(self.job, source.listing(), {})
        self._workspace = Workspace(self.job.stage, {}, source.layout.data_root)
        plan = plan_unit(self.job, selection, self._workspace)
        apply_plan(source.layout, self.job, plan, run_id)
        write_elements(self.run, self.job, plan, selection, [plan.waiting()], run_id)
        self.lock = FolderLock(self.unit.lock, run_id)
        self.lock.acquire()
        self.acts: dict[str, Callable[[], None]] = {}
        self.events: list[dict[str, Any]] = []
        self.processed: list[str] = []

    def runner(self, attempt: str = "w1") -> TaskRunner:
        texts = Texts(self.source.texts)
        texts.acts = self.acts if attempt == "w1" else {}
        context = ToyContext(texts, self._workspace)
        self.processed = context.processed
        config = {"run_id": self.run_id, "name": self.job.name}
        report, gauge = self.events.append, FailureGauge(1.0)
        return TaskRunner(
            self.job.stage, context, self.source.layout, self.unit, self.run, config, attempt, "n1", report, gauge
        )

    def do(self, attempt: str = "w1", runner: TaskRunner | None = None) -> bool:
        """Run the task to its end as one worker; whether it is committed."""
        (row,) = load_element(self.run, self.job.name, 0)
        return asyncio.run((runner or self.runner(attempt)).run_task(row))

    def crash(self, item: str, attempt: int, run_id: str = RUN, kind: Kind = Kind.CRASH) -> None:
        """What the supervisor notes when a worker dies under an item."""
        text = self.source.texts[item]
        row = Outcome(item, Status.FAILED, str(kind), "died", f"digest of {text}", attempt, "000000")
        record_outcome(self.unit, row, run_id, "0-supervisor")

    def done_rows(self) -> list[dict[str, Any]]:
        return [row for path in sorted(self.unit.done_log_dir.glob("*")) for row in iter_rows(path)]

    def commit_rows(self) -> list[dict[str, Any]]:
        return [row for path in sorted(self.unit.commit_log_dir.glob("*")) for row in iter_rows(path)]


@pytest.fixture
def source(tmp_path) -> ToySource:
    return ToySource(tmp_path, {"a": "one", "b": "two", "c": "three"}, weight=9.0)


def take_folder(work: Work, run_id: str = "run-2") -> None:
    """What a later run does when nothing shows that the one before is alive."""
    work.unit.lock.unlink()
    FolderLock(work.unit.lock, run_id).acquire()


def test_an_item_under_which_a_worker_died_is_tried_once_more(source):
    work = Work(source)
    work.crash("b", attempt=1, kind=Kind.KILLED)
    assert work.do() and work.processed == ["a", "b", "c"]
    assert source.made() == {"a": "one", "b": "two", "c": "three"}
    starts = {event["item"]: (event["attempt"], event["again"]) for event in work.events if event["event"] == "start"}
    assert starts == {"a": (1, False), "b": (2, True), "c": (1, False)}
    assert {row["item"]: row["attempt"] for row in work.done_rows()} == {"a": 1, "b": 2, "c": 1}


def test_an_item_under_which_two_workers_died_is_left_alone(source):
    work = Work(source)
    work.crash("b", attempt=1, kind=Kind.KILLED)
    work.crash("b", attempt=2)
    assert work.do() and work.processed == ["a", "c"]
    record = json.loads(work.unit.record("000000").read_text())
    assert record["outcomes"]["b"]["status"] == "failed" and record["outcomes"]["b"]["reason"] == "crash"
    assert source.made() == {"a": "one", "c": "three"}


def test_a_death_while_the_worker_was_at_it_is_seen_by_the_next_task_of_the_same_worker(source):
    """A sibling dies on an item of a task that then comes to a worker which began earlier."""
    work = Work(source)
    runner = work.runner()
    work.crash("b", attempt=1, kind=Kind.KILLED)
    assert work.do(runner=runner)
    assert [event["attempt"] for event in work.events if event["event"] == "start"] == [1, 2, 1]


@pytest.mark.parametrize("kind", [Kind.TIMEOUT, Kind.OUT_OF_MEMORY])
def test_a_worker_that_was_killed_for_an_item_is_a_verdict(source, kind):
    work = Work(source)
    work.crash("b", attempt=1, kind=kind)
    assert work.do() and work.processed == ["a", "c"]


def test_attempts_count_on_from_earlier_runs(source):
    first = Work(source, "run-0")
    for attempt in (1, 2):
        first.crash("b", attempt, "run-0")
    first.do()
    first.lock.release()
    work = Work(source, retry="failed")
    work.crash("b", attempt=3, kind=Kind.KILLED)
    assert work.do() and work.processed == ["b"]
    assert [row["attempt"] for row in work.done_rows() if row["run_id"] == RUN] == [4]


def test_a_folder_that_went_to_another_run_is_not_touched(source):
    work = Work(source)
    take_folder(work)
    with pytest.raises(StageError, match=r"toys belongs to run run-2 now, not to run-1; stopping"):
        work.do()
    assert work.processed == [] and not work.unit.record("000000").exists()


def test_a_folder_that_nobody_holds_is_not_touched_either(source):
    work = Work(source)
    work.lock.release()
    with pytest.raises(StageError, match="toys belongs to no run now, not to run-1"):
        work.do()
    assert work.processed == []


def test_a_folder_that_is_lost_in_the_middle_gets_no_commit(source):
    work = Work(source)
    work.acts["c"] = lambda: take_folder(work)
    with pytest.raises(StageError, match="belongs to run run-2 now"):
        work.do()
    assert not work.unit.record("000000").exists() and not work.unit.shard("000000").exists()
    assert work.commit_rows() == [] and read_holder(work.unit.lock)["run_id"] == "run-2"


def test_a_folder_that_is_lost_while_the_shard_is_written_gets_no_commit(source):
    work = Work(source)

    def lose(point: str) -> None:
        if point == "shard:written":
            take_folder(work)

    with hooked(lose), pytest.raises(StageError, match="belongs to run run-2 now"):
        work.do()
    assert not work.unit.record("000000").exists() and work.commit_rows() == []
    assert not [name for name in leftovers(work.unit.root) if name.endswith(".tmp")]


def test_every_finished_item_leaves_a_line(source):
    source.texts |= {"b": "bad", "c": "skip"}
    work = Work(source)
    work.do("w7")
    (row,) = work.done_rows()
    assert (work.unit.done_log_dir / f"{RUN}.w7.jsonl").exists()
    expected = {"item": "a", "task": "000000", "attempt": 1, "weight_s": 1.0, "inputs": "digest of one"}
    assert row.items() >= (expected | {"run_id": RUN, "writer": "w7", "node": "n1"}).items()
    outcome = json.loads(work.unit.record("000000").read_text())["outcomes"]["a"]
    assert row["digest"] == outcome["digest"] and row["bytes"] > 0 and row["seconds"] >= 0
    assert row["time"].endswith("+00:00")


def test_every_commit_leaves_a_line_with_counts(source):
    source.texts |= {"b": "bad", "c": "skip"}
    work = Work(source)
    work.do("w7")
    (row,) = work.commit_rows()
    assert (row["task"], row["run_id"], row["writer"], row["node"]) == ("000000", RUN, "w7", "n1")
    assert row["items"] == {"done": 1, "failed": 1, "skipped": 1, "blocked": 0}
    assert row["weight_s"] == 1.0 and row["bytes"] == work.unit.shard("000000").stat().st_size


def test_a_task_of_which_nothing_was_made_is_a_commit_without_bytes(source):
    source.texts = dict.fromkeys("abc", "skip")
    work = Work(source)
    assert work.do()
    (row,) = work.commit_rows()
    assert (row["bytes"], row["weight_s"], row["items"]["skipped"]) == (0, 0, 3)
    assert work.done_rows() == []


def test_adopted_items_leave_no_second_line(source):
    work = Work(source)

    def die() -> None:
        raise StageError("the disk is full")

    work.acts["c"] = die
    with pytest.raises(StageError, match="the disk is full"):
        work.do("w1")
    assert work.do("w2") and work.processed == ["c"]
    assert sorted((row["item"], row["writer"]) for row in work.done_rows()) == [("a", "w1"), ("b", "w1"), ("c", "w2")]
    adopted = [event["item"] for event in work.events if event.get("adopted")]
    assert adopted == ["a", "b"]
    (row,) = work.commit_rows()
    assert row["writer"] == "w2" and row["items"]["done"] == 3 and row["weight_s"] == 3.0


def test_what_an_attempt_made_of_other_inputs_is_made_again(source):
    first = Work(source)

    def die() -> None:
        raise StageError("the disk is full")

    first.acts["c"] = die
    with pytest.raises(StageError, match="the disk is full"):
        first.do()
    first.lock.release()
    source.texts["a"] = "uno"
    second = Work(source, "run-2")
    assert second.do() and second.processed == ["a", "c"]
    assert source.made() == {"a": "uno", "b": "two", "c": "three"}


def in_another_thread(act: Callable[[], Any]) -> Callable[[], None]:
    """Run ``act`` to its end beside the loop that is running here, which has no room for another."""

    def run() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(act).result()

    return run


def test_when_a_twin_was_faster_only_its_commit_is_counted(source):
    work = Work(source)
    work.acts["c"] = in_another_thread(lambda: work.do("w2"))
    assert work.do("w1")
    assert [row["writer"] for row in work.commit_rows()] == ["w2"]
    assert source.made() == {"a": "one", "b": "two", "c": "three"} and leftovers(work.unit.root) == []


def test_when_a_twin_commits_while_the_shard_is_written_only_its_commit_is_counted(source):
    work = Work(source)
    twin, did = in_another_thread(lambda: work.do("w2")), []

    def overtake(point: str) -> None:
        if point == "shard:written" and not did:
            did.append(point)
            twin()

    with hooked(overtake):
        assert work.do("w1")
    assert did and [row["writer"] for row in work.commit_rows()] == ["w2"]
    assert source.made() == {"a": "one", "b": "two", "c": "three"} and leftovers(work.unit.root) == []


def test_a_committed_task_is_only_looked_at(source):
    work = Work(source)
    assert work.do("w1") and work.do("w2")
    assert work.processed == [] and len(work.commit_rows()) == 1


def test_a_stop_leaves_the_task_open_and_keeps_what_is_done(source):
    work = Work(source)
    runner = work.runner()
    work.acts["b"] = runner.stop
    assert not work.do(runner=runner)
    assert [row["item"] for row in work.done_rows()] == ["a", "b"] and work.commit_rows() == []
    assert work.do("w2") and work.processed == ["c"]


def test_a_share_of_failures_counts_only_after_enough_items():
    gauge = FailureGauge(0.2)
    for _ in range(40):
        gauge.add(Status.FAILED)
    gauge = FailureGauge(0.2, done=40)
    for _ in range(10):
        gauge.add(Status.FAILED)
        gauge.add(Status.SKIPPED)
        gauge.add(Status.BLOCKED)
    with pytest.raises(TooManyFailures, match=r"11 of 51 items failed, more than max_fail_ratio=0\.2 allows"):
        gauge.add(Status.FAILED)


def test_several_tasks_share_the_items_in_flight(tmp_path, monkeypatch):
    """Three tasks at once, two items in flight over all; room for more is told when no item is left to begin."""
    source = ToySource(tmp_path, {key: key for key in "abcdef"}, weight=2.0)
    work = Work(source)
    rows = load_element(work.run, work.job.name, 0)
    assert [len(row["items"]) for row in rows] == [2, 2, 2]
    stage = work.job.stage
    config = replace(stage.configs[stage.name], items_in_flight=2)
    monkeypatch.setitem(stage.configs, stage.name, config)
    at_once, most, told = 0, 0, []
    process = stage.process

    async def slowly(item, ctx):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return await process(item, ctx)

    monkeypatch.setattr(stage, "process", slowly)
    runner = work.runner()
    runner.when_roomy = lambda: told.append(len(work.processed))

    async def all_of_them():
        return await asyncio.gather(*(runner.run_task(row) for row in rows))

    assert asyncio.run(all_of_them()) == [True, True, True]
    assert most == 2 and len(source.made()) == 6
    assert told and min(told) >= 5  # not while an item waited for its turn


def test_a_lone_item_leaves_room_for_another_task(tmp_path, monkeypatch):
    source = ToySource(tmp_path, {"a": "one"})
    work = Work(source)
    stage = work.job.stage
    monkeypatch.setitem(stage.configs, stage.name, replace(stage.configs[stage.name], items_in_flight=4))
    runner, told = work.runner(), []
    runner.when_roomy = lambda: told.append(list(work.processed))
    (row,) = load_element(work.run, work.job.name, 0)
    assert asyncio.run(runner.run_task(row))
    assert told[0] == []  # before the item was done
    told.clear()
    assert asyncio.run(runner.run_task(row, careful=True)) and told == []


def test_what_the_language_model_did_is_in_the_commit_line(source, monkeypatch):
    work = Work(source)
    runner = work.runner()
    runner._context.end_task = lambda task: {"requests": 7}
    assert work.do(runner=runner)
    (row,) = work.commit_rows()
    assert row["llm"] == {"requests": 7, "reject_share": 0.0}


@pytest.mark.parametrize("point", ["fragment:fsync", "shard:fsync"])
def test_other_work_goes_on_while_the_disk_is_waited_for(source, point):
    work = Work(source)
    (row,) = load_element(work.run, work.job.name, 0)
    waited: list[bool] = []

    async def run() -> bool:
        loop, is_waiting, went_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def slow_disk(reached: str) -> None:
            if reached == point and not waited:
                loop.call_soon_threadsafe(is_waiting.set)
                waited.append(went_on.wait(10))

        async def other() -> None:
            await is_waiting.wait()
            went_on.set()

        with hooked(slow_disk):
            committed, _ = await asyncio.gather(work.runner().run_task(row), other())
        return committed

    assert asyncio.run(run()) and waited == [True]
