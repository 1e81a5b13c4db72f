"""How busy an engine was and what it gave, over stretches of time that may overlap."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmassist.llm.protocol import Answer


@dataclass
class Stretch:
    """What was asked and answered since a moment, of one task; the rest is of the whole engine."""

    begin_s: float
    idle_s: float  # the engine's, up to the beginning
    in_flight_s: float
    counts: Counter[str] = field(default_factory=Counter)


class Meter:
    """Counts requests and tokens by stretch, and integrates how many samples the engine had in hand."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._now_s = clock()
        self._in_flight = 0
        self._idle_s = self._in_flight_s = 0.0

    def begin(self) -> Stretch:
        """A stretch that begins now."""
        self._advance()
        return Stretch(self._now_s, self._idle_s, self._in_flight_s)

    def start(self, num_samples: int) -> None:
        """So many samples are asked for."""
        self._advance()
        self._in_flight += num_samples

    def finish(self, num_samples: int) -> None:
        """They came, or will not come."""
        self._advance()
        self._in_flight -= num_samples

    def report(self, stretch: Stretch) -> dict[str, Any]:
        """The stretch as plain JSON: counts, tokens per second, share of prompt tokens from the prefix cache.

        ``idle_share`` is the share of the time in which the engine had nothing in hand, ``mean_in_flight`` the mean
        number of samples it had in hand: of the whole engine, whichever task they were for.
        """
        self._advance()
        seconds = self._now_s - stretch.begin_s
        counts = stretch.counts
        prompt = counts["prompt_tokens"]
        return {
            "seconds": round(seconds, 3),
            "requests": counts["requests"],
            "repairs": counts["repairs"],
            "from_journal": counts["from_journal"],
            **{f"{name}_tokens": counts[f"{name}_tokens"] for name in ("prompt", "completion", "cached")},
            "prompt_tokens_per_s": _ratio(prompt, seconds),
            "completion_tokens_per_s": _ratio(counts["completion_tokens"], seconds),
            "cached_share": _ratio(counts["cached_tokens"], prompt),
            "repair_share": _ratio(counts["repairs"], counts["requests"]),
            "idle_share": _ratio(self._idle_s - stretch.idle_s, seconds),
            "mean_in_flight": _ratio(self._in_flight_s - stretch.in_flight_s, seconds),
        }

    def _advance(self) -> None:
        now = self._clock()
        passed = now - self._now_s
        self._idle_s += 0.0 if self._in_flight else passed
        self._in_flight_s += self._in_flight * passed
        self._now_s = now


def count_answer(counts: Counter[str], answer: Answer, is_repair: bool) -> None:
    """Add an answer that the engine gave just now."""
    counts["requests"] += 1
    counts["repairs"] += is_repair
    for name in ("prompt_tokens", "completion_tokens", "cached_tokens"):
        counts[name] += answer.usage.get(name, 0)


def render_reports(reports: Sequence[Mapping[str, Any]], span_s: float) -> str:
    """One line for people on several tasks' reports, over the ``span_s`` seconds that they took together."""
    total: Counter[str] = Counter()
    for report in reports:
        for name in ("requests", "repairs", "prompt_tokens", "completion_tokens", "cached_tokens", "from_journal"):
            total[name] += report.get(name, 0)
    seconds = sum(report.get("seconds", 0.0) for report in reports)
    idle_s = sum(report.get("idle_share", 0.0) * report.get("seconds", 0.0) for report in reports)
    rejected = sum(report.get("reject_share", 0.0) * report.get("requests", 0) for report in reports)
    return (
        f"{total['requests']} requests ({total['from_journal']} answers taken over), "
        f"{_ratio(total['prompt_tokens'], span_s):.0f} prompt and {_ratio(total['completion_tokens'], span_s):.0f} "
        f"output tokens/s, {_ratio(total['cached_tokens'], total['prompt_tokens']):.0%} of prompts from the cache, "
        f"idle {_ratio(idle_s, seconds):.0%}, {_ratio(total['repairs'], total['requests']):.1%} repairs, "
        f"{_ratio(rejected, total['requests']):.2f} rejections a request"
    )


def _ratio(amount: float, of: float) -> float:
    return round(amount / of, 4) if of else 0.0
