"""Simulate how busy ``stage=generate`` keeps an engine, beside the reference's way of asking it.

    python -m tools.bench.generation_simulated [--recordings 100] [--slots 64] [--in-flight 8,16,32]

The engine has a number of slots; a token takes a slot one step of fixed length, and reading a prompt takes no time
unless ``--prompt-speed`` says so. Its time is virtual: hours pass in seconds, and the same command prints the same
figures everywhere. All the rest is real: invented recordings are planned with the settings of ``cluster=h100x8``, run
by worker and stage, answered by the scripted engine, and written to a temporary folder. Ours is one array element from
its first request to its last; the reference's way is one video at a time, and one call after another with up to ten
prompts, one per conversation, or with all the summaries of one conversation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmassist.llm.protocol import Request
from tools.bench.generation_clock import run_virtually
from tools.bench.generation_engine import CallEngine, SlotEngine, Speed
from tools.bench.generation_source import MEAN_LENGTH_S, MIN_RECORDINGS, Element, Work, plan_work, write_recordings


@dataclass(frozen=True)
class Case:
    """What is simulated: how many recordings of what mean length, on how many engines of how many slots."""

    num_recordings: int = 100
    mean_length_s: float = MEAN_LENGTH_S
    num_engines: int = 1
    num_slots: int = 64
    speed: Speed = field(default_factory=Speed)


@dataclass(frozen=True)
class Result:
    """What one way of asking came to."""

    way: str
    in_flight: int
    seconds: float  # virtual, from the first request to the last commit
    busy: float  # share of all slots' time
    num_requests: int
    num_tokens: int
    num_done: int  # recordings
    calls: tuple[list[Request], ...] = ()  # the reference's, in order

    @property
    def tokens_per_s(self) -> float:
        return self.num_tokens / self.seconds


def simulate(case: Case, in_flight: int | None = None, by_calls: bool = False) -> Result:
    """Make all dialogs of the case; ``in_flight`` None: as shipped. ``by_calls``: the reference's way.

    Raises Standstill when the engine is never asked for what is left.
    """
    words = [f"generate.num_workers={case.num_engines}", "generate.gpus_per_node=0"]
    if by_calls:
        in_flight = 1
    words += [f"generate.items_in_flight={in_flight}"] if in_flight else []
    with tempfile.TemporaryDirectory() as folder:
        write_recordings(Path(folder), case.num_recordings, case.mean_length_s)
        work = plan_work(Path(folder), words)
        return run_virtually(_run(case, work, by_calls))[0]


async def _run(case: Case, work: Work, by_calls: bool) -> Result:
    statuses: Counter[str] = Counter()

    def report(event: dict[str, Any]) -> None:
        statuses[event.get("status", "begun")] += 1

    engines = [SlotEngine(case.num_slots, case.speed) for _ in range(case.num_engines)]
    asked = [CallEngine(engine) if by_calls else engine for engine in engines]
    workers = [work.worker(child, engine, report) for child, engine in enumerate(asked)]
    element = Element(workers)
    try:
        seconds = await element.run()
    finally:
        for worker in workers:
            worker.close()
    return Result(
        way="the reference's way" if by_calls else "ours",
        in_flight=work.job.stage_config.items_in_flight,
        seconds=seconds,
        busy=sum(engine.busy_s for engine in engines) / (case.num_slots * case.num_engines * seconds),
        num_requests=sum(engine.num_requests for engine in engines),
        num_tokens=sum(engine.num_tokens for engine in engines),
        num_done=statuses["done"],
        calls=tuple(call for engine in asked if isinstance(engine, CallEngine) for call in engine.calls),
    )


def iter_report(case: Case, in_flight: Sequence[int | None]) -> Iterator[str]:
    """Yield a Markdown table, a row for each number of items in flight."""
    reference = simulate(case, by_calls=True)
    yield (
        f"{case.num_recordings} recordings of {case.mean_length_s:g} s on average, {reference.num_requests} requests, "
        f"{reference.num_tokens} output tokens; {case.num_engines} engine(s) of {case.num_slots} slots, "
        f"{case.speed.step_s * 1000:g} ms a step; the reference's way makes {len(reference.calls)} calls"
    )
    yield "| way | items in flight | recordings | slots busy | hours | output tokens/s | times the reference's way |"
    yield "|---|---|---|---|---|---|---|"
    yield _row(reference, reference)
    for number in in_flight:
        yield _row(simulate(case, number), reference)


def _row(result: Result, reference: Result) -> str:
    cells = [result.way, result.in_flight, result.num_done, f"{result.busy:.3f}", f"{result.seconds / 3600:.2f}"]
    cells += [f"{result.tokens_per_s:.0f}", f"{result.tokens_per_s / reference.tokens_per_s:.2f}"]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.generation_simulated",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recordings", type=int, default=100, help="in the element")
    parser.add_argument("--length", type=float, default=MEAN_LENGTH_S, help="seconds of a recording, on average")
    parser.add_argument("--engines", type=int, default=1, help="worker processes of the element, one engine each")
    parser.add_argument("--slots", type=int, default=64, help="samples that one engine decodes at a time")
    parser.add_argument("--step", type=float, default=0.05, help="seconds of one decoding step")
    parser.add_argument("--prompt-speed", type=float, help="prompt tokens a second of each sample; without it no time")
    parser.add_argument("--in-flight", help="values of generate.items_in_flight, with commas; without it as shipped")
    arguments = parser.parse_args()
    if arguments.recordings < MIN_RECORDINGS:
        parser.error(f"--recordings {arguments.recordings}: at least {MIN_RECORDINGS}")
    speed = Speed(arguments.step, arguments.prompt_speed)
    case = Case(arguments.recordings, arguments.length, arguments.engines, arguments.slots, speed)
    numbers: list[int | None] = (
        [int(word) for word in arguments.in_flight.split(",")] if arguments.in_flight else [None]
    )
    for line in iter_report(case, numbers):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
