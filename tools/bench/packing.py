"""How fast dialogs become samples, against assembling their arrays alone.

    python -m tools.bench.packing [--dialogs 60] [--minutes 10] [--image-tokens 10]

Dialogs are made up: a user's goal, then an answer about every 10 s and a question now and then. Times are wall-clock
seconds of this process; run it on an idle machine with one thread (``RAYON_NUM_THREADS=1``).
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from mmassist.core.rng import rng
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Message
from mmassist.packing.record import Dialog, FrameStore
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, SampleBuilder, SetupConfig
from mmassist.packing.tokenizer import TokenizerConfig, build_tokenizer

WORDS = [
    "now",
    "take",
    "the",
    "paper",
    "filter",
    "fold",
    "it",
    "in",
    "half",
    "and",
    "put",
    "it",
    "on",
    "top",
    "of",
    "the",
    "mug",
    "before",
    "you",
    "pour",
    "any",
    "water",
    "into",
    "it",
]


def make_dialog(number: int, minutes: float) -> Dialog:
    """A made-up dialog of that length; equal numbers give equal dialogs."""
    rand = rng("bench", number)

    def text(low: int, high: int) -> str:
        return " ".join(rand.choices(WORDS, k=rand.randint(low, high))).capitalize() + "."

    messages = [Message("user", text(6, 12), 2.0)]
    time_s = 3.0
    while time_s < minutes * 60 - 2:
        progress = f"Elapsed time: {time_s:.1f} seconds. {text(60, 100)}"
        messages.append(Message("assistant", text(8, 30), time_s, "initiative|instruction", progress))
        if rand.random() < 0.2:
            messages.append(Message("user", text(4, 14), time_s + 2.0))
            messages.append(Message("assistant", text(8, 30), time_s + 2.0, "responsive|instruction", progress))
        time_s += rand.choice([3.0, 6.0, 10.0, 20.0])
    key = f"bench-{number}"
    return Dialog("bench", key, key, "train", "talk_some", "talk_some_0", tuple(messages), knowledge=text(80, 160))


def assemble_only(lengths: list[int]) -> None:
    """The floor: fill id and label arrays of known lengths, with nothing decided or tokenised."""
    for length in lengths:
        ids = np.full(length, 7, dtype=np.int32)
        labels = np.full(length, -100, dtype=np.int32)
        for start in range(0, length, 128):
            ids[start : start + 30] = start
            labels[start : start + 30] = start


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dialogs", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--image-tokens", type=int, default=10, choices=[1, 5, 10, 26])
    parser.add_argument("--tokenizer", help="tokenizer.json of a real tokenizer; the tiny one without it")
    args = parser.parse_args()

    config = TokenizerConfig("real", args.tokenizer) if args.tokenizer else TokenizerConfig("tiny")
    chat = ChatFormat(build_tokenizer(config), args.image_tokens)
    pack = PackConfig(image_tokens=args.image_tokens)
    store = FrameStore("bench", int(args.minutes * 120) + 20)
    dialogs = [make_dialog(n, args.minutes) for n in range(args.dialogs)]
    for compat in (False, True):
        builder = SampleBuilder(pack, SetupConfig(name="bench", knowledge=True, summary=True), chat, compat)
        report = FillReport()
        begin = time.perf_counter()
        lengths = [len(s.input_ids) for dialog in dialogs for s in builder.build(dialog, store, report)]
        packing_s = time.perf_counter() - begin
        begin = time.perf_counter()
        assemble_only(lengths)
        floor_s = time.perf_counter() - begin
        stats = report.stats()
        print(
            f"{'reference' if compat else 'default'} rules: {len(lengths)} samples, "
            f"{len(lengths) / packing_s:.0f} samples/s, "
            f"{packing_s / args.dialogs * 1000:.1f} ms a dialog, {packing_s / floor_s:.0f} times the arrays alone; "
            f"fill {stats['tokens'] / stats['capacity_tokens']:.3f}, "
            f"answers {stats['answers']:.0f} kept {stats.get('dropped_answers', 0):.0f} dropped, "
            f"frames {stats['frames']:.0f} kept {stats.get('dropped_frames_silence', 0):.0f} of waits dropped"
        )


if __name__ == "__main__":
    main()
