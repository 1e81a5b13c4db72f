"""The supervisor against workers that die, hang, grow and report: one ledger row each, and the work goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from launchers.child import child_environment
from launchers.life import End, Life, Place
from launchers.supervise import Limits, Stopped, Supervisor
from mmassist.core.errors import StageError
from mmassist.io.layout import UnitLayout
from mmassist.io.ledger import load_outcomes

pytestmark = pytest.mark.long

# A worker that speaks the protocol and does what each item's name says.
WORKER = """
import json, os, sys, time, pathlib
ledger, kept = pathlib.Path(sys.argv[1]), set()
def say(**event): print(json.dumps(event), flush=True)
def settled():
    rows = [json.loads(l) for p in ledger.glob("*.jsonl") for l in p.read_text().splitlines()]
    return {r["item"] for r in rows if r["reason"] != "killed"} | kept
def tried():
    return {json.loads(l)["item"] for p in ledger.glob("*.jsonl") for l in p.read_text().splitlines()}
for line in sys.stdin:
    words = line.split()
    if words[0] == "stop": break
    task, items = words[1], words[1].split("+")
    todo = [i for i in items if i not in settled()]
    careful = words[2:] == ["careful"]
    for batch in ([[i] for i in todo] if careful else [todo] if "together" in task else [[i] for i in todo]):
        for item in batch:
            again = item in tried()
            say(event="start", item=item, task=task, attempt=2 if again else 1, inputs="x", again=again)
        for item in batch:
            if item.startswith("crash"): os.kill(os.getpid(), 11)
            if item.startswith("unlucky") and item not in tried(): os.kill(os.getpid(), 9)
            if item.startswith("hang"): time.sleep(60)
            if item.startswith("grow"): hog = b"x" * 400_000_000; time.sleep(60)
            if item.startswith("slow"): time.sleep(0.5)
            if item.startswith("broken"): say(event="error", kind="StageError", message="weights do not load"); sys.exit(1)
            status = "failed" if item.startswith("fail") else "done"
            say(event="item", item=item, status=status, reason="permanent", message="bad", stats={})
    say(event="task", task=task, committed=True)
"""


def supervise(tmp_path, tasks, workers=1, worker=WORKER, **limits):
    unit = UnitLayout(tmp_path)
    events = []
    script = tmp_path / "worker.py"
    script.write_text(worker)

    def spawn(child: int) -> subprocess.Popen[str]:
        words = [sys.executable, str(script), str(unit.ledger_dir)]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    bounds = Limits(**({"item_timeout_s": 30, "memory_bytes": 2**30, "max_fail_ratio": 0.2, "grace_s": 2} | limits))
    life = Life(tmp_path / "life.json", Place("toy"))
    supervisor = Supervisor(unit, "run", 0, tasks, workers, bounds, spawn, events.append, life)
    try:
        supervisor.run()
    finally:
        life.finish(End.COMPLETED)
    done = sorted(e["item"] for e in events if e["event"] == "item" and e["status"] == "done")
    return done, load_outcomes(unit.ledger_dir)


def test_all_tasks_are_handed_out(tmp_path):
    done, outcomes = supervise(tmp_path, ["a+b", "c", "d"], workers=2)
    assert done == ["a", "b", "c", "d"] and outcomes == {}


def test_a_crash_is_one_row_and_the_rest_of_the_task_is_done(tmp_path):
    done, outcomes = supervise(tmp_path, ["a+crash1+b", "c"])
    assert set(done) == {"a", "b", "c"}
    (row,) = outcomes.values()
    assert (row.item, row.reason, row.attempt) == ("crash1", "crash", 2)
    assert row.message == "the worker process died by signal SIGSEGV while working on it"


def test_an_item_under_which_one_worker_was_killed_gets_a_second_chance(tmp_path):
    done, outcomes = supervise(tmp_path, ["a+unlucky1+b"])
    assert set(done) == {"a", "b", "unlucky1"}
    assert outcomes["unlucky1"].attempt == 1 and "SIGKILL" in outcomes["unlucky1"].message  # the attempt is on record
    life = json.loads((tmp_path / "life.json").read_text())
    assert life["crashes"] == 1 and life["items"]["failed"] == 0 and life["in_hand"] == []


def test_the_life_counts_what_was_done(tmp_path):
    supervise(tmp_path, ["crash1+fail1", "b"], max_fail_ratio=1.0)
    life = json.loads((tmp_path / "life.json").read_text())
    assert (life["tasks"], life["committed"], life["crashes"]) == (2, 2, 2)
    assert life["items"] == {"done": life["items"]["done"], "failed": 2, "skipped": 0, "blocked": 0}
    assert life["end"] == "completed" and life["ended"]


def test_of_several_items_in_hand_only_the_deadly_one_is_blamed(tmp_path):
    done, outcomes = supervise(tmp_path, ["a+together+crash1+b"])
    assert {"a", "b", "together"} <= set(done)
    assert list(outcomes) == ["crash1"]


def test_a_hang_is_a_timeout(tmp_path):
    done, outcomes = supervise(tmp_path, ["a+hang1+b"], item_timeout_s=1.0)
    assert set(done) == {"a", "b"}
    assert outcomes["hang1"].reason == "timeout"
    assert "item_timeout_s=1" in outcomes["hang1"].message


def test_runaway_memory_is_recorded(tmp_path):
    done, outcomes = supervise(tmp_path, ["a+grow1+b"], memory_bytes=200e6)
    assert set(done) == {"a", "b"}
    assert outcomes["grow1"].reason == "out_of_memory"


def test_what_no_item_can_survive_stops_the_element(tmp_path):
    with pytest.raises(StageError, match="weights do not load"):
        supervise(tmp_path, ["a+broken1", "b"])


def test_a_worker_that_never_begins_is_not_started_for_ever(tmp_path):
    with pytest.raises(StageError, match="before they began an item, 3 times"):
        supervise(tmp_path, ["a"], worker="import sys; sys.exit(3)")


def test_too_many_failures_stop_the_element(tmp_path):
    items = [f"fail{i}" if i % 3 == 0 else f"ok{i}" for i in range(90)]
    with pytest.raises(StageError, match=r"17 of 50 items failed, more than max_fail_ratio=0.2"):
        supervise(tmp_path, ["+".join(items)])


def test_a_warning_signal_lets_items_in_hand_finish_and_hands_out_nothing_more(tmp_path):
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    began = time.monotonic()
    with pytest.raises(InterruptedError):
        supervise(tmp_path, [f"slow{i}" for i in range(40)])
    assert time.monotonic() - began < 10


def test_a_requeue_signal_is_told_apart_from_a_stop(tmp_path):
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGUSR2)).start()
    with pytest.raises(Stopped) as stopped:
        supervise(tmp_path, [f"slow{i}" for i in range(40)])
    assert stopped.value.number == signal.SIGUSR2


def test_a_signal_that_comes_when_all_is_done_stops_nothing(tmp_path):
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGUSR2)).start()
    done, _ = supervise(tmp_path, ["slow1+slow2+slow3+slow4"])  # the worker of this test finishes its task
    assert len(done) == 4


def test_children_share_the_gpus_without_overlap(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    shares = [child_environment(i, 2, 8, tmp_path)["CUDA_VISIBLE_DEVICES"] for i in range(2)]
    assert shares == ["0,1,2,3", "4,5,6,7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert [child_environment(i, 2, 2, tmp_path)["CUDA_VISIBLE_DEVICES"] for i in range(2)] == ["5", "7"]
    assert "CUDA_VISIBLE_DEVICES" not in child_environment(0, 1, 0, tmp_path)


def test_a_lone_worker_does_not_take_the_gpus_of_those_there_is_no_work_for(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")
    assert child_environment(0, 8, 8, tmp_path)["CUDA_VISIBLE_DEVICES"] == "0"


def test_children_have_caches_and_temporary_folders_of_their_own(tmp_path):
    names = ("TMPDIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "VLLM_CACHE_ROOT", "CUDA_CACHE_PATH")
    made = [child_environment(i, 8, 8, tmp_path)[name] for i in range(8) for name in names]
    assert len(set(made)) == len(made)
    assert (tmp_path / "worker-7" / "tmp").is_dir()


# A worker that takes several tasks at once: it asks for more until it has room for no other, or none comes.
GREEDY = """
import json, os, pathlib, queue, sys, threading
folder, room = pathlib.Path(sys.argv[1]).parent, int(os.environ["ROOM"])
def say(**event): print(json.dumps(event), flush=True)
lines = queue.Queue()
threading.Thread(target=lambda: [lines.put(line.split()) for line in sys.stdin], daemon=True).start()
held = []
while True:
    try:
        words = lines.get(timeout=0.5 if held else None)
    except queue.Empty:
        words = ["enough"]
    if words[0] == "stop": break
    if words[0] == "task":
        held.append(words[1])
        if words[2:] and len(held) > 1: sys.exit(4)  # a careful one beside others
        if len(held) < room and not words[2:]:
            say(event="more")
            continue
    for task in held:
        say(event="start", item=task, task=task, attempt=1, inputs="x", again=False)
    with open(folder / f"held-{os.getpid()}", "a") as log: log.write(" ".join(held) + "\\n")
    if any("lose" in task for task in held) and not (folder / "lost").exists():
        (folder / "lost").touch()
        say(event="error", kind="EngineLost", message="the engine is gone"); sys.exit(1)
    if any("always" in task for task in held):
        say(event="error", kind="EngineLost", message="the engine is gone"); sys.exit(1)
    if any("deadly" in task for task in held) and not words[2:]: os.kill(os.getpid(), 9)
    for task in held:
        say(event="item", item=task, status="done", stats={})
        say(event="task", task=task, committed=True)
    held = []
"""


def batches(tmp_path):
    """What each worker had in hand together, in the order in which it was done."""
    return [[line.split() for line in path.read_text().splitlines()] for path in sorted(tmp_path.glob("held-*"))]


def test_a_worker_with_room_is_given_more_tasks(tmp_path, monkeypatch):
    monkeypatch.setenv("ROOM", "3")
    tasks = [f"wait{i}" for i in range(6)]
    done, _ = supervise(tmp_path, tasks, worker=GREEDY)
    assert done == tasks
    assert batches(tmp_path) == [[["wait0", "wait1", "wait2"], ["wait3", "wait4", "wait5"]]]


def test_no_worker_takes_more_than_its_share(tmp_path, monkeypatch):
    monkeypatch.setenv("ROOM", "8")
    done, _ = supervise(tmp_path, [f"wait{i}" for i in range(8)], workers=2, worker=GREEDY)
    assert len(done) == 8
    sizes = [[len(batch) for batch in worker] for worker in batches(tmp_path)]
    assert len(sizes) == 2 and all(max(worker) <= 4 for worker in sizes)


def test_a_lost_engine_is_nobodys_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("ROOM", "2")
    done, outcomes = supervise(tmp_path, ["wait1", "lose"], worker=GREEDY)
    assert done == ["lose", "wait1"] and outcomes == {}
    assert json.loads((tmp_path / "life.json").read_text())["crashes"] == 1


def test_an_engine_that_is_lost_again_and_again_stops_the_element(tmp_path, monkeypatch):
    monkeypatch.setenv("ROOM", "1")
    with pytest.raises(StageError, match="the engine is gone"):
        supervise(tmp_path, ["always"], worker=GREEDY)
    assert json.loads((tmp_path / "life.json").read_text())["crashes"] == 3


def test_tasks_in_hand_go_on_together_until_a_second_worker_dies_under_them(tmp_path, monkeypatch):
    """The first death may be bad luck; after the second each task is looked at alone."""
    monkeypatch.setenv("ROOM", "2")
    done, outcomes = supervise(tmp_path, ["wait1", "wait-deadly"], worker=GREEDY)
    assert done == ["wait-deadly", "wait1"] and outcomes == {}
    sizes = [[len(batch) for batch in worker] for worker in batches(tmp_path)]
    assert sizes.count([2]) == 2 and sum(size.count(1) for size in sizes) == 2
