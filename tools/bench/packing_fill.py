"""How full samples are and what they leave out, by these boundaries and by the reference's, of the same dialogs."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

from mmassist.core.config import build
from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.record import Dialog, FrameStore
from mmassist.packing.report import FillReport
from mmassist.packing.sample import PackConfig, Sample, SampleBuilder, SetupConfig
from mmassist.packing.tokenizer import ChatTokenizer
from tools.bench.packing_texts import WAITS, make_dialog

LENGTHS = (2048, 4096, 8192)
COLUMNS = ("samples", "fill", "answers", "lost", "frames", "cut", "fitting", "twice", "goal")


def render_fill(tokenizer: ChatTokenizer, num_dialogs: int, minutes: float, image_tokens: int) -> str:
    """A table: ``lost`` answers are in no sample, ``cut`` frames of waits are in none, ``fitting`` of them would have
    found room, ``twice`` frames are in two samples of a dialog, ``goal`` is the share of samples that know it."""
    store = FrameStore("bench", int(minutes * 120) + 20)
    lines = [f"{'waits':6}{'L':>6} {'rules':10}" + "".join(f"{name:>9}" for name in COLUMNS)]
    for waits, length, compat in itertools.product(WAITS, LENGTHS, (False, True)):
        config = build(PackConfig, {"image_tokens": image_tokens, "max_seq_len": length}, "pack")
        setup = SetupConfig(name="bench", knowledge=True, summary=True)
        builder = SampleBuilder(config, setup, ChatFormat(tokenizer, image_tokens), compat)
        counts, report = Counter[str](), FillReport()
        for number in range(num_dialogs):
            dialog = make_dialog(number, minutes, waits)
            _count(builder.build(dialog, store, report), dialog, counts)
        stats = report.stats()
        counts |= {"answers": int(stats["answers"]), "lost": int(stats.get("dropped_answers", 0))}
        counts["frames"] = int(stats["frames"])
        cells = {
            **counts,
            "fill": stats["tokens"] / stats["capacity_tokens"],
            "goal": counts["goal"] / counts["samples"],
        }
        shown = [
            f"{cells.get(name, 0):9.3f}" if name in ("fill", "goal") else f"{cells.get(name, 0):9}" for name in COLUMNS
        ]
        lines.append(f"{waits:6}{length:>6} {'reference' if compat else 'here':10}" + "".join(shown))
    return "\n".join(lines)


def _count(samples: Sequence[Sample], dialog: Dialog, counts: Counter[str]) -> None:
    end = 0
    for sample in samples:
        record = sample.record
        counts["samples"] += 1
        counts["goal"] += _knows_goal(sample, dialog)
        start = record["start_frame_idx"]
        counts["twice"] += max(0, end - start)
        cut = max(0, start - end)
        counts["cut"] += cut
        counts["fitting"] += min(cut, (record["max_seq_len"] - record["seq_len"]) // record["num_tokens_per_img"])
        end = record["end_frame_idx"]


def _knows_goal(sample: Sample, dialog: Dialog) -> bool:
    """Whether the user's goal is said in it, or its beginning tells the progress so far."""
    goal = next(message.content for message in dialog.messages if message.role == "user")
    turns = sample.record["conversation"]
    past = [m.progress for m in dialog.messages if m.progress and m.progress in turns[0]["content"]]
    return bool(past) or any(turn.get("content") == goal for turn in turns)
