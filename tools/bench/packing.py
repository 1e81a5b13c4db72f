"""What packing costs, against the reference's way and against filling arrays alone, and how full its samples are.

    RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false python -m tools.bench.packing [--dialogs 60] [--image-tokens 10]
    python -m tools.bench.packing --setups all     all setups, frame sizes, separators and lengths together, and alone
    python -m tools.bench.packing --memory 20000   resident memory over that many dialogs
    python -m tools.bench.packing --fill           how full samples are, beside the reference's boundaries

Dialogs are made up of real prose (``packing_texts``). Without ``--tokenizer`` one of 48,000 tokens is trained first.
CPU seconds of this process; ways take turns within a round.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from mmassist.core.config import build
from mmassist.core.fingerprint import canonical_json
from mmassist.io.npy import npy_bytes
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.record import Dialog, FrameStore
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, Sample, SampleBuilder, SetupConfig
from mmassist.packing.tokenizer import ChatTokenizer, TokenizerConfig, build_tokenizer
from tools.bench.packing_fill import render_fill
from tools.bench.packing_peer import WholeText
from tools.bench.packing_texts import make_dialog, train_tokenizer

ROUNDS = 5
EARLIER = 5  # times as many dialogs before those that are timed
VOCABULARY = 48_000
SETUPS = (
    SetupConfig(name="knowledge", knowledge=True, summary=True),
    SetupConfig(name="no_knowledge", knowledge=False, summary=True),
    SetupConfig(name="summary_only", knowledge=False, summary=True, summary_only=True),
    SetupConfig(name="full_length", knowledge=True, summary=False, full_length=True),
)


@dataclass(frozen=True)
class Case:
    """What is packed, with which tokenizer."""

    tokenizer: TokenizerConfig
    dialogs: tuple[Dialog, ...]
    store: FrameStore
    image_tokens: Literal[1, 5, 10, 26]

    def builder(self, tokenizer: ChatTokenizer, compat: bool = False) -> SampleBuilder:
        chat = ChatFormat(tokenizer, self.image_tokens)
        return SampleBuilder(PackConfig(image_tokens=self.image_tokens), SETUPS[0], chat, compat)


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def assemble_only(lengths: Sequence[int]) -> None:
    """The floor: fill id and label arrays of known lengths, with nothing decided or tokenised."""
    for length in lengths:
        ids = np.full(length, 7, dtype=np.int32)
        labels = np.full(length, -100, dtype=np.int32)
        for start in range(0, length, 128):
            ids[start : start + 30] = start
            labels[start : start + 30] = start


def build_all(builder: SampleBuilder, case: Case, with_members: bool = False) -> int:
    """Make the samples of one dialog after the other, and their members' bytes as the stage does; how many."""
    num_samples = 0
    for dialog in case.dialogs:
        samples = builder.build(dialog, case.store, FillReport())
        num_samples += len(samples)
        if with_members:
            for sample in samples:
                npy_bytes(sample.input_ids), canonical_json(sample.record).encode(), npy_bytes(sample.labels)
    return num_samples


def render_speed(case: Case, earlier: Sequence[Dialog]) -> str:
    """Samples a CPU second of all ways, medians over rounds; ``earlier`` dialogs come first where caches are filled."""
    peer = WholeText(_reading_specials(case.tokenizer), case.image_tokens)
    builder = case.builder(build_tokenizer(case.tokenizer))
    samples = [sample for dialog in case.dialogs for sample in builder.build(dialog, case.store, FillReport())]
    _compare(samples, peer)
    some = samples[:: max(1, len(samples) // 40)]
    times: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        spent = {"floor": cpu_s(partial(assemble_only, [len(sample.input_ids) for sample in samples]))}
        for name, with_members in (("arrays", False), ("arrays and members", True)):
            builder = case.builder(build_tokenizer(case.tokenizer))
            spent[f"{name}, empty caches"] = cpu_s(partial(build_all, builder, case, with_members))
            builder = case.builder(build_tokenizer(case.tokenizer))
            build_all(builder, replace(case, dialogs=tuple(earlier)))
            spent[name] = cpu_s(partial(build_all, builder, case, with_members))
        spent["peer"] = cpu_s(partial(_build_each, peer, some)) * len(samples) / len(some)
        for name, seconds in spent.items():
            times.setdefault(name, []).append(seconds)
    num_words = sum(len(m.content.split()) for d in case.dialogs for m in d.messages)
    lines = [
        f"{len(samples)} samples of {len(case.dialogs)} dialogs, {num_words} words said; medians of {ROUNDS} rounds",
        f"caches hold what {len(earlier)} other dialogs left where they are not empty",
    ]
    for name, rounds in times.items():
        median = statistics.median(rounds)
        ratios = sorted(one / two for one, two in zip(times["peer"], rounds, strict=True))
        lines.append(
            f"{name:33} {len(samples) / median:7.0f} samples/s {median / len(case.dialogs) * 1000:6.2f} ms a dialog "
            f"{statistics.median(ratios):6.1f} times the peer ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        )
    return "\n".join([*lines, "ids and labels of all samples are the peer's"])


def _build_each(peer: WholeText, samples: Sequence[Sample]) -> None:
    for sample in samples:
        peer.build(sample.record)


def _compare(samples: Sequence[Sample], peer: WholeText) -> None:
    for sample in samples:
        input_ids, labels = peer.build(sample.record)
        if not (np.array_equal(input_ids, sample.input_ids) and np.array_equal(labels, sample.labels)):
            raise SystemExit(f"sample {sample.name} of {sample.record['video_uid']} differs from the peer's")


def _reading_specials(config: TokenizerConfig):  # type: ignore[no-untyped-def]
    from tokenizers import AddedToken, Tokenizer

    from mmassist.packing.tiny_tokenizer import build_tiny_tokenizer

    backend = build_tiny_tokenizer() if config.path is None else Tokenizer.from_file(config.path)
    backend.add_special_tokens([AddedToken(config.image_token, special=True, normalized=False)])
    return backend


def variants(tokenizer: Callable[[], ChatTokenizer]) -> list[SampleBuilder]:
    """A builder of every setup, number of tokens a frame, separator and length."""
    found = []
    for setup, image_tokens, separator in itertools.product(SETUPS, (1, 5, 10), ("none", "EOS")):
        for length in (4096,) if setup.full_length else (2048, 4096, 8192):
            config = build(
                PackConfig, {"image_tokens": image_tokens, "separator": separator, "max_seq_len": length}, "pack"
            )
            found.append(SampleBuilder(config, setup, ChatFormat(tokenizer(), image_tokens, separator)))
    return found


def render_variants(case: Case) -> str:
    """CPU seconds of all variants item by item from one tokenizer, over doing each of them alone."""
    together, alone = [], []
    num_variants = len(variants(lambda: build_tokenizer(case.tokenizer)))
    for _ in range(ROUNDS):
        shared = build_tokenizer(case.tokenizer)
        together.append(cpu_s(partial(_build_variants, variants(lambda t=shared: t), case)))  # type: ignore[misc]
        alone.append(
            sum(cpu_s(partial(build_all, one, case)) for one in variants(lambda: build_tokenizer(case.tokenizer)))
        )
    one, each = statistics.median(together), statistics.median(alone)
    return (
        f"{num_variants} variants of {len(case.dialogs)} dialogs: {one:.2f} CPU s from one tokenisation, "
        f"{each:.2f} each alone: {one / each:.2f}; {one / len(case.dialogs) / num_variants * 1000:.2f} ms a dialog"
    )


def _build_variants(builders: Sequence[SampleBuilder], case: Case) -> None:
    for dialog in case.dialogs:
        for builder in builders:
            builder.build(dialog, case.store, FillReport())


def render_memory(case: Case, num: int, minutes: float) -> str:
    """Resident memory while ``num`` different dialogs are packed with one tokenizer."""
    tokenizer = build_tokenizer(case.tokenizer)
    builder = case.builder(tokenizer)
    lines = []
    for number in range(num):
        build_all(builder, replace(case, dialogs=(make_dialog(number, minutes),)), with_members=True)
        if (number + 1) % max(1, num // 10) == 0:
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            lines.append(
                f"{number + 1:6} dialogs: {_resident_mb():.0f} MB resident, {peak_mb:.0f} MB at most, "
                f"cache {tokenizer.cache.num_bytes / 1e6:.0f} MB"
            )
    return "\n".join(lines)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogs", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--image-tokens", type=int, default=10, choices=[1, 5, 10, 26])
    parser.add_argument("--tokenizer", help="tokenizer.json of a real tokenizer, or tiny; without it one is trained")
    parser.add_argument("--setups", choices=["one", "all"], default="one")
    parser.add_argument("--memory", type=int, metavar="DIALOGS", default=0)
    parser.add_argument("--fill", action="store_true")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        path = args.tokenizer or str(Path(folder) / "tokenizer.json")
        if not args.tokenizer:
            train_tokenizer(Path(path), VOCABULARY)
        config = TokenizerConfig("tiny") if path == "tiny" else TokenizerConfig("bench", path)
        dialogs = tuple(make_dialog(n, args.minutes) for n in range(args.dialogs))
        case = Case(config, dialogs, FrameStore("bench", int(args.minutes * 120) + 20), args.image_tokens)
        if args.memory:
            print(render_memory(case, args.memory, args.minutes))
        elif args.setups == "all":
            print(render_variants(case))
        elif args.fill:
            print(render_fill(build_tokenizer(config), args.dialogs, args.minutes, args.image_tokens))
        else:
            earlier = [make_dialog(args.dialogs + n, args.minutes) for n in range(EARLIER * args.dialogs)]
            print(render_speed(case, earlier))


if __name__ == "__main__":
    main()
