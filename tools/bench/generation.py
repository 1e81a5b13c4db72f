"""Measure ``stage=generate`` on vLLM against vLLM's own offline throughput, and against the reference's way.

    .venv-vllm/bin/python -m tools.bench.generation [--recordings 4] [--rounds 1] [--slots 32]

Runs where vLLM is, on a CPU without a GPU's help. A random Llama of about 100 M parameters makes answers of fixed
lengths; what the stage reads are the scripted engine's answers, so that dialogs are whole and every way of asking makes
the same requests. Each round measures, one after another and each with an empty prefix cache:

- generate: worker, stage and engine as a command runs them, the next window after the answer to the one before;
- offline: ``LLM.generate`` over the very same prompts and lengths, all of them at once;
- calls: the reference's way, one recording at a time with up to ten prompts (or a conversation's summaries) a call.

Both engines are made with the same settings; only one of them works at a time. CPU seconds are this process's and
those of vLLM's.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmassist.llm.protocol import Answer, Request
from mmassist.llm.vllm_engine import VllmConfig, VllmEngine
from tools.bench.generation_engine import build_writer
from tools.bench.generation_simulated import Case, simulate
from tools.bench.generation_source import MIN_RECORDINGS, Element, plan_work, write_recordings
from tools.bench.generation_timing import Measurement, timed
from tools.bench.random_llama import write_model

WIDTH, LAYERS = 768, 13  # about 100 M parameters
LENGTHS = {"goal": 48, "consolidate": 48, "dialog": 96, "refine": 128, "summary": 32}  # tokens of one sample
MAX_MODEL_LEN = 4096
MEAN_LENGTH_S = 20.0  # one window of a recording
WAYS = ("generate", "offline", "calls")


class FixedLengthEngine(VllmEngine):
    """Decodes so many tokens for each kind of request, and answers with what the scripted engine writes."""

    def __init__(self, config: VllmConfig):
        super().__init__(config)
        self._writer = build_writer()
        self.num_requests = self.num_tokens = 0

    def sampling(self, request: Request, max_tokens: int) -> Any:
        parameters = super().sampling(replace(request, schema=None), LENGTHS[request.kind])
        parameters.ignore_eos = True
        return parameters

    async def answer(self, request: Request) -> Answer:
        made = await super().answer(request)
        assert made.usage["completion_tokens"] == num_tokens(request)
        self.num_requests += 1
        self.num_tokens += made.usage["completion_tokens"]
        written = await self._writer.answer(request)
        return replace(written, usage=made.usage)

    async def clear(self) -> None:
        """Empty the prefix cache. Needs a loaded engine."""
        assert await self._engine.reset_prefix_cache()

    def close(self) -> None:
        """Stay: the next round asks again."""

    def shut_down(self) -> None:
        """End the engine process."""
        super().close()


def num_tokens(request: Request) -> int:
    """Tokens of the answer to a request."""
    return LENGTHS[request.kind] * request.num_samples


class Bench:
    """Both engines over one set of recordings, of which ``calls`` are the reference's. Loads them; close it."""

    def __init__(self, model: Path, case: Case, calls: Sequence[list[Request]], in_flight: int | None):
        self._case, self._calls, self._in_flight = case, calls, in_flight
        self._config = VllmConfig(
            engine="vllm",
            name="bench",
            model=str(model),
            device="cpu",
            dtype="bfloat16",
            tensor_parallel=1,
            max_model_len=MAX_MODEL_LEN,
            max_num_seqs=case.num_slots,
            cpu_cache_gb=2,
            enforce_eager=True,
        )
        os.environ.update(self._config.environment())
        self._runner = asyncio.Runner()
        self._engine = FixedLengthEngine(self._config)
        self._runner.run(self._engine.answer(self._calls[0][0]))
        self._offline = self._load_offline()
        self._offline.generate(*self._inputs(self._calls[0][:1]), use_tqdm=False)

    def measure(self, way: str, num_recordings: int | None = None) -> Measurement:
        """Run one way; ``num_recordings``: of the reference's calls, only those for the first recordings."""
        if way == "generate":
            self._runner.run(self._engine.clear())
            return self._measure_generate()
        assert self._offline.reset_prefix_cache()
        groups: Sequence[Sequence[Request]] = self._calls
        if way == "offline":
            groups = [[request for call in self._calls for request in call]]
        elif num_recordings is not None:
            groups = list(first_recordings(self._calls, num_recordings))
        inputs = [self._inputs(group) for group in groups]

        def run() -> tuple[int, int]:
            made = [one for group in inputs for one in self._offline.generate(*group, use_tqdm=False)]
            return len(made), sum(len(sample.token_ids) for one in made for sample in one.outputs)

        return timed(run)

    def size(self) -> tuple[int, int]:
        """Number of requests, and of the tokens in their prompts."""
        prompts = [one["prompt_token_ids"] for call in self._calls for one in self._inputs(call)[0]]
        return len(prompts), sum(map(len, prompts))

    def close(self) -> None:
        self._engine.shut_down()
        self._offline.llm_engine.engine_core.shutdown()
        self._runner.close()

    def _load_offline(self) -> Any:
        from vllm import LLM

        return LLM(**self._engine.options())

    def _inputs(self, requests: Sequence[Request]) -> tuple[list[dict[str, Any]], list[Any]]:
        prompts = [{"prompt_token_ids": self._engine.render(request.messages)} for request in requests]
        return prompts, [self._engine.sampling(request, 0) for request in requests]

    def _measure_generate(self) -> Measurement:
        words = ["generate.num_workers=1", "generate.gpus_per_node=0"]
        words += [f"generate.items_in_flight={self._in_flight}"] if self._in_flight else []
        with tempfile.TemporaryDirectory() as folder:
            write_recordings(Path(folder), self._case.num_recordings, self._case.mean_length_s)
            worker = plan_work(Path(folder), words).worker(0, self._engine, lambda event: None)
            before = self._engine.num_requests, self._engine.num_tokens

            def run() -> tuple[int, int]:
                self._runner.run(Element([worker]).run())
                return self._engine.num_requests - before[0], self._engine.num_tokens - before[1]

            return timed(run)


def first_recordings(calls: Sequence[list[Request]], number: int) -> Iterator[list[Request]]:
    """Yield the calls for the first ``number`` recordings; each begins with a question for its goal."""
    for call in calls:
        number -= call[0].kind == "goal"
        if number < 0:
            return
        yield call


def iter_report(bench: Bench, rounds: int, num_called: int | None) -> Iterator[str]:
    """Yield a Markdown table of all rounds, then the ratios: medians and ranges."""
    yield "| round | way | requests | output tokens | wall s | CPU s here | CPU s vLLM | output tokens/s |"
    yield "|---|---|---|---|---|---|---|---|"
    found: list[dict[str, Measurement]] = []
    for number in range(1, rounds + 1):
        found.append({})
        for way in WAYS:
            one = found[-1][way] = bench.measure(way, num_called)
            cells: list[Any] = [number, way, one.num_requests, one.num_tokens, f"{one.wall_s:.1f}"]
            cells += [f"{one.here_s:.1f}", f"{one.engine_s:.1f}", f"{one.tokens_per_s:.1f}"]
            yield f"| {' | '.join(map(str, cells))} |"
    for name in ("tokens_per_s", "tokens_per_cpu_s"):
        for other in ("offline", "calls"):
            ratios = [getattr(row["generate"], name) / getattr(row[other], name) for row in found]
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            yield f"generate over {other}, {name}: {statistics.median(ratios):.2f} ({spread})"


def main() -> int:
    """Make the model, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.generation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--recordings", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--slots", type=int, default=32, help="llm.max_num_seqs")
    parser.add_argument("--in-flight", type=int, help="generate.items_in_flight; without it as shipped")
    parser.add_argument("--called", type=int, help="recordings that the reference's way is measured on; without it all")
    arguments = parser.parse_args()
    if arguments.recordings < MIN_RECORDINGS:
        parser.error(f"--recordings {arguments.recordings}: at least {MIN_RECORDINGS}")
    case = Case(arguments.recordings, MEAN_LENGTH_S, num_slots=arguments.slots)
    calls = simulate(case, by_calls=True).calls
    texts = [message.content for call in calls for request in call for message in request.messages]
    with tempfile.TemporaryDirectory() as folder:
        number = write_model(Path(folder), WIDTH, LAYERS, texts=texts)
        bench = Bench(Path(folder), case, calls, arguments.in_flight)
        num_requests, num_prompt = bench.size()
        print(
            f"{number / 1e6:.1f} M parameters; {case.num_recordings} recordings, {num_requests} requests, prompts of "
            f"{num_prompt / num_requests:.0f} tokens on average; {case.num_slots} slots",
            flush=True,
        )
        try:
            for line in iter_report(bench, arguments.rounds, arguments.called):
                print(line, flush=True)
        finally:
            bench.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
