"""The disturbances of a rehearsal: what is done to a caught element, and what has to come of it.

Each is a generator: it strikes at once, yields while it waits for the consequence, and returns what came of it in
words. It raises Missed when nothing was disturbed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from launchers.life import End
from slurm.private.failures import crash_node
from slurm.private.process import send
from tools.demo.cluster import OVER
from tools.rehearsal.at_work import Caught, Scene, let_go, workers_of

Consequence = Generator[None, None, str]


class Missed(Exception):
    """A planned disturbance could not be made, or disturbed nothing."""


@dataclass(frozen=True)
class Blow:
    """A disturbance of a stage.

    It comes once ``share`` of the stage's tasks are committed, at an element that has ``least`` more to commit.
    ``leaves_work``: SLURM does not start the element again, so that the command has to be given once more.
    """

    what: str
    stage: str
    share: float
    strike: Callable[[Scene, Caught], Consequence]
    least: int = 1
    leaves_work: bool = False


def kill_worker(scene: Scene, caught: Caught) -> Consequence:
    """``kill -9`` of a worker: its supervisor starts another one, and the element goes on."""
    send(workers_of(caught.life)[:1], signal.SIGKILL)
    let_go(caught.life)
    while not scene.life(caught)["ended"]:
        yield
    life = scene.life(caught)
    if life["end"] != End.COMPLETED or not life["crashes"]:
        raise Missed(f"its element {life['end']} with {life['crashes']} workers replaced")
    return "another worker took over, and the element completed"


def lose_node(scene: Scene, caught: Caught) -> Consequence:
    """A node without power: SLURM misses it after a while and starts its elements elsewhere; then it comes back."""
    lost = scene.list_alive(node=caught.node)
    crash_node(scene.cluster, caught.node)
    life = yield from _next_start(scene, caught)
    scene.cluster.up()
    return f"{len(lost)} elements lost their work in hand, this one began again on {life['node']}; the node is back"


def requeue(scene: Scene, caught: Caught) -> Consequence:
    """``scontrol requeue``: SLURM kills the element and starts it again."""
    _ask(scene, "scontrol", "requeue", caught.job_id)
    life = yield from _next_start(scene, caught)
    return f"began again on {life['node']}"


def preempt(scene: Scene, caught: Caught) -> Consequence:
    """A more urgent job takes the whole node: the element is warned, ends its items in hand and is requeued."""
    _ask(scene, "sbatch", "-p", "urgent", "-w", caught.node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1")
    while "PreemptTime=None" in _ask(scene, "scontrol", "show", "job", caught.job_id) and scene.is_at_work(caught):
        yield
    let_go(caught.life)  # it has been warned
    life = yield from _next_start(scene, caught)
    ended = "ended in time" if scene.life(caught)["end"] == End.REQUEUED else "was killed with an item in hand"
    return f"warned, it {ended}, and began again on {life['node']}"


def kill_supervisor(scene: Scene, caught: Caught) -> Consequence:
    """``kill -9`` of a supervisor, as a node short of memory does: nobody is left to ask for a new start."""
    send([caught.life["pid"]], signal.SIGKILL)
    while (state := scene.state_of(caught.job_id)) not in OVER:
        yield
    if state != "FAILED":
        raise Missed(f"SLURM has its element as {state}")
    return "FAILED for SLURM; what it left is done by the same command again"


# A supervisor is killed where no later stage of the command reads: one that begins without some of its items commits
# the others, and those that come later get shards of their own, which an undisturbed run has not.
BLOWS = (
    Blow("a worker is killed", "extract", 0.1, kill_worker),
    Blow("a node is lost", "extract", 0.2, lose_node),
    Blow("an urgent job preempts", "encode", 0.1, preempt, least=2),
    Blow("a supervisor is killed", "encode", 0.3, kill_supervisor, leaves_work=True),
    Blow("an element is requeued", "pack", 0.1, requeue),
)


def _next_start(scene: Scene, caught: Caught) -> Generator[None, None, dict[str, Any]]:
    while (life := scene.next_life(caught)) is None:
        if scene.life(caught)["end"] in (End.COMPLETED, End.FAILED):
            raise Missed(f"its element {scene.life(caught)['end']} all the same")
        yield
    return life


def _ask(scene: Scene, *words: str) -> str:
    answer = scene.cluster.ask(*words)
    if answer is None:
        raise Missed(f"SLURM refuses '{' '.join(words)}'")
    return answer
