"""Disturbing a run as chances arise: every planned blow is struck once, and what came of it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tools.rehearsal.at_work import Caught, Scene, let_go
from tools.rehearsal.blows import Blow, Consequence, Missed

LOOK_EVERY_S = 0.2
LIMIT_S = 180.0  # from a blow to its consequence; a node is given up after half a minute


@dataclass
class Struck:
    """A blow that was struck: ``at_s`` since the beginning; ``came`` is empty while nobody knows."""

    blow: Blow
    caught: Caught
    at_s: float
    consequence: Consequence
    came: str = ""
    is_missed: bool = False


@dataclass
class Storm:
    """The blows still to be struck, and those that were. ``say`` gets a line for each, and for what comes of it.

    ``begin`` is the moment from which times count.
    """

    waiting: list[Blow]
    say: Callable[[str], None]
    begin: float = field(default_factory=time.monotonic)
    struck: list[Struck] = field(default_factory=list)

    def watch(self, scene: Scene, seconds: float) -> None:
        """Look for chances and consequences for about as many seconds."""
        end = time.monotonic() + seconds
        while True:
            self._follow(scene)
            self._look_for_chances(scene)
            if time.monotonic() > end:
                return
            time.sleep(LOOK_EVERY_S)

    def settle(self, scene: Scene) -> None:
        """Wait for the consequences of what was struck; a blow whose time never came stays in ``waiting``."""
        while self._open:
            self._follow(scene)
            time.sleep(LOOK_EVERY_S)

    def list_failures(self) -> list[str]:
        """Blows that were not struck, or of which nothing came."""
        missed = [f"{one.blow.what}, {one.caught.name}: {one.came}" for one in self.struck if one.is_missed]
        unstruck = [f"{blow.what}: there was no chance for it in {blow.stage}" for blow in self.waiting]
        return [f"a planned disturbance was not made: {text}" for text in (*missed, *unstruck)]

    @property
    def _open(self) -> Sequence[Struck]:
        return [one for one in self.struck if not one.came]

    def _look_for_chances(self, scene: Scene) -> None:
        for blow in list(self.waiting):
            committed, total = scene.count_tasks(blow.stage)
            if not total or committed < max(1, round(blow.share * total)):
                continue
            # What happens on one node at a time has one cause.
            caught = scene.catch(blow.stage, blow.least, {one.caught.node for one in self._open})
            if caught is None:
                continue
            self.waiting.remove(blow)
            self._strike(scene, blow, caught, f"{committed} of {total} tasks of {blow.stage} committed")

    def _strike(self, scene: Scene, blow: Blow, caught: Caught, when: str) -> None:
        one = Struck(blow, caught, time.monotonic() - self.begin, blow.strike(scene, caught))
        self.struck.append(one)
        self.say(f"{one.at_s:.0f} s, {when}: {blow.what} ({caught.name})")
        self._advance(one)

    def _follow(self, scene: Scene) -> None:
        for one in self._open:
            self._advance(one)
            if not one.came and time.monotonic() - self.begin - one.at_s > LIMIT_S:
                one.consequence.close()
                self._end(one, f"nothing after {LIMIT_S:.0f} s", is_missed=True)

    def _advance(self, one: Struck) -> None:
        try:
            next(one.consequence)
        except StopIteration as end:
            self._end(one, end.value)
        except Missed as error:
            self._end(one, str(error), is_missed=True)

    def _end(self, one: Struck, came: str, is_missed: bool = False) -> None:
        one.came, one.is_missed = came, is_missed
        let_go(one.caught.life)  # whatever went wrong, nothing stays halted
        self.say(f"{time.monotonic() - self.begin:.0f} s, {one.blow.what}: {came}")
