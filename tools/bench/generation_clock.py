"""An event loop on virtual time: when nothing is left to do now, its clock jumps to the next timer.

Hours of waiting pass in the time that the work between them takes, and the same program takes the same virtual time on
every machine, however busy it is.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Standstill(RuntimeError):
    """Everything waits for something that no timer will bring about."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """``time()`` begins at 0 and moves only while everybody waits.

    Threads know nothing of that clock: what would be done in one is done at once, in no time. Raises Standstill where
    a usual loop would wait for ever.
    """

    def __init__(self) -> None:
        self._virtual_s = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self._virtual_s

    def pass_time(self, seconds: float) -> None:
        """Move the clock."""
        self._virtual_s += seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """Call ``func`` here and now."""
        done = self.create_future()
        try:
            done.set_result(func(*args))
        except (OSError, RuntimeError, ValueError) as error:
            done.set_exception(error)
        return done


class _JumpingSelector(selectors.BaseSelector):
    """Looks at files without waiting; what the loop would wait, its clock jumps."""

    def __init__(self, loop: VirtualLoop):
        self._loop = loop
        self._files = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._files.select(0)
        if ready:
            return ready
        if timeout is None:
            raise Standstill(f"nothing can happen any more at {self._loop.time():.3f} s")
        self._loop.pass_time(max(0.0, timeout))
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._files.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._files.unregister(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._files.get_map()

    def close(self) -> None:
        self._files.close()


def run_virtually(coroutine: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """The coroutine's result, and the virtual seconds that it took. Raises Standstill."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        result = runner.run(coroutine)
        return result, runner.get_loop().time()
