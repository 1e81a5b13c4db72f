"""Count what dialogs cost: requests and tokens per hour of video, by source and kind of request.

    python -m tools.bench.dialog_cost [--data DATASETS] [--tokenizer PATH] [--dataset wtag,holoassist]

DATASETS is a folder in the publishers' layouts (``DATA_ROOT_DIR/datasets``), by default the excerpts beside the
checkout. ``stage=generate`` and ``judge=llm`` are run over its annotations with each source's own settings; the
scripted engine answers, without mistakes, so nothing has to be repaired. Prompts are counted in Llama 3's form of a
chat, once however many samples are asked for; answers with the token that ends them. PATH is a ``tokenizer.json`` or
its folder; without it the small tokenizer counts, by which everything is about twice as long.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from launchers.compose import compose_command, list_options
from launchers.jobs import Job, resolve_jobs
from mmassist.core.adapter import Content
from mmassist.core.errors import ConfigError, Skip
from mmassist.core.item import Item
from mmassist.datasets import adapter_class
from mmassist.io.layout import Layout
from mmassist.llm.protocol import Answer, Request
from mmassist.packing.tokenizer import TINY, ChatTokenizer, TokenizerConfig, build_tokenizer
from tools.bench.generation_engine import build_writer

EXCERPTS = Path(__file__).resolve().parents[3] / "shared" / "data"
BLOCK = 16  # tokens: vLLM's cache knows whole blocks of a prompt
COLUMNS = ("goal, label", "dialog", "refine", "summary", "rate")  # kinds of requests, the first and last in one
_COLUMN_OF = {"dialog": 1, "refine": 2, "summary": 3, "rate": 4, "rate_goal": 4}

_conversation: ContextVar[int] = ContextVar("conversation", default=-1)  # of the request in hand; -1: of none


@dataclass
class Cost:
    """What was asked and answered; tokens of prompts, of answers, and what prompts have in common with earlier ones."""

    requests: Counter[str] = field(default_factory=Counter)  # by column
    prompt: Counter[str] = field(default_factory=Counter)  # by stage, like the following
    before: Counter[str] = field(default_factory=Counter)  # shared with the last one of its kind in its conversation
    cached: Counter[str] = field(default_factory=Counter)  # blocks shared with any earlier one about the recording
    output: Counter[str] = field(default_factory=Counter)
    num_used: int = 0
    num_skipped: int = 0
    seconds: float = 0.0  # of video that was used

    @property
    def hours(self) -> float:
        return self.seconds / 3600

    def tokens(self, stage: str) -> list[str]:
        """Thousands per hour: tokens of prompts, those of them that no cache can hold, those of answers."""
        numbers = [self.prompt[stage], self.prompt[stage] - self.cached[stage], self.output[stage]]
        return [f"{number / self.hours / 1000:,.0f} k" for number in numbers]


class CountingModel:
    """The scripted engine, with every prompt and answer counted; for one recording."""

    def __init__(self, tokenizer: ChatTokenizer, cost: Cost):
        self._tokenizer, self._cost = tokenizer, cost
        self._writer = build_writer()
        self._last: dict[tuple[str, int], list[int]] = {}
        self._blocks: set[int] = set()

    async def ask(self, request: Request) -> Answer:
        """The answer."""
        if "conversation" in request.payload:
            # Requests for summaries do not say whose they are, but are made by what a conversation has started.
            _conversation.set(request.payload["conversation"])
        answer = await self._writer.answer(request)
        self._count(request, answer)
        return answer

    def _count(self, request: Request, answer: Answer) -> None:
        cost, ids = self._cost, self._prompt_ids(request)
        stage = "judge" if request.kind in ("rate", "rate_goal") else "generate"
        place = request.kind, _conversation.get()
        cost.requests[COLUMNS[_COLUMN_OF.get(request.kind, 0)]] += 1
        cost.prompt[stage] += len(ids)
        cost.before[stage] += num_shared(self._last.get(place, []), ids)
        cost.cached[stage] += self._num_cached(ids)
        texts = self._tokenizer.encode_batch([sample.text for sample in answer.samples])
        cost.output[stage] += sum(len(text) + 1 for text in texts)
        self._last[place] = ids

    def _prompt_ids(self, request: Request) -> list[int]:
        tokenizer = self._tokenizer
        messages = [(message.role, message.content.strip()) for message in request.messages]
        parts = [(role, f"\n\n{text}") for role, text in messages] + [("assistant", "\n\n")]
        encoded = iter(tokenizer.encode_batch([text for part in parts for text in part]))
        ids = [tokenizer.bos_id]
        for role, text in zip(encoded, encoded, strict=True):
            ids += [tokenizer.start_header_id, *role, tokenizer.end_header_id, *text, tokenizer.eot_id]
        return ids[:-1]  # the answer is still to come

    def _num_cached(self, ids: Sequence[int]) -> int:
        """Tokens at the beginning that are whole blocks of an earlier prompt; notes this prompt's blocks."""
        name = found = 0
        is_known = True
        for start in range(0, len(ids) - BLOCK + 1, BLOCK):
            name = hash((name, *ids[start : start + BLOCK]))
            is_known = is_known and name in self._blocks
            found += BLOCK * is_known
            self._blocks.add(name)
        return found


class MadeMembers:
    """What ``generate`` has made of the recording, for ``judge``."""

    def __init__(self, members: dict[str, bytes]):
        self._members = members

    def read(self, name: str) -> bytes:
        return self._members[name]


class RecordingContext:
    """As much of ``mmassist.core.stage.Context`` as the two stages need for one recording."""

    compat = False
    planned_revision: ClassVar[dict[str, Any]] = {}

    def __init__(self, adapter: Any, model: CountingModel):
        self.adapter, self.llm = adapter, model
        self.made: dict[str, bytes] = {}

    def read(self, stage: str, key: str) -> MadeMembers:
        return MadeMembers(self.made)

    def num_verdicts(self, item: Item) -> int:
        return 0


def count_source(dataset: str, data: Path, tokenizer: ChatTokenizer) -> Cost:
    """Run both stages over a source's recordings. Raises ConfigError when the source is not there."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "datasets").symlink_to(data.resolve())
        words = ["stage=generate,judge", f"dataset={dataset}", "models=tiny", "judge=llm", "judge_llm=scripted"]
        layout, (generate, judge) = resolve_jobs(compose_command([*words, f"paths.data_root={folder}"]))
        return asyncio.run(_count_items(layout, generate, judge, tokenizer))


async def _count_items(layout: Layout, generate: Job, judge: Job, tokenizer: ChatTokenizer) -> Cost:
    cost = Cost()
    adapter = generate.adapter(layout)
    for item in adapter.list_items().dialogs:
        context: Any = RecordingContext(adapter, CountingModel(tokenizer, cost))
        try:
            outputs = await generate.stage.process(item, context)
        except Skip:
            cost.num_skipped += 1
            continue
        context.made = dict(outputs.members)  # type: ignore[arg-type]
        await judge.stage.process(item, context)
        cost.num_used += 1
        cost.seconds += item.weight_s
    return cost


def iter_report(data: Path, datasets: Sequence[str], tokenizer: ChatTokenizer) -> Iterator[str]:
    """Yield two Markdown tables with a row for each source that is there: requests and tokens per hour of video."""
    costs: dict[str, Cost] = {}
    for dataset in datasets:
        try:
            costs[dataset] = count_source(dataset, data, tokenizer)
        except ConfigError as error:
            print(f"{dataset} is left out: {error}", file=sys.stderr)
    used = {dataset: cost for dataset, cost in costs.items() if cost.num_used}
    yield from _heading("recordings", "hours", *COLUMNS)
    for dataset, cost in used.items():
        requests = [f"{cost.requests[column] / cost.hours:,.0f}" for column in COLUMNS]
        yield _row(dataset, f"{cost.num_used} of {cost.num_used + cost.num_skipped}", f"{cost.hours:.2f}", *requests)
    yield ""
    yield from _heading("prompts", "as before", "to compute", "answers", "rate: prompts", "to compute", "answers")
    for dataset, cost in used.items():
        shared = f"{cost.before['generate'] / cost.prompt['generate']:.0%}"  # a conversation is rated only once
        prompts, *rest = cost.tokens("generate")
        yield _row(dataset, prompts, shared, *rest, *cost.tokens("judge"))


def _heading(*columns: str) -> Iterator[str]:
    yield _row("source", *columns)
    yield "|---" * (1 + len(columns)) + "|"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def num_shared(first: Sequence[int], second: Sequence[int]) -> int:
    """Length of the beginning that both have in common."""
    number = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        number += 1
    return number


def main() -> int:
    """Print the report."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.bench.dialog_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=EXCERPTS)
    parser.add_argument("--tokenizer", help="tokenizer.json of Llama 3's format, or its folder")
    parser.add_argument("--dataset", help="sources, with commas; without it all that have dialogs")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"--data {arguments.data} is no folder")
    with_dialogs = [name for name in list_options("dataset") if adapter_class(name).content is Content.DIALOG]
    datasets = arguments.dataset.split(",") if arguments.dataset else with_dialogs
    config = TokenizerConfig("given", arguments.tokenizer) if arguments.tokenizer else TokenizerConfig(TINY)
    try:
        for line in iter_report(arguments.data, datasets, build_tokenizer(config)):
            print(line, flush=True)
    except ConfigError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
