"""What became of one dialog item's frames, turns and captions: how full its samples are, what was left out and why.

Every count is a flat number that adds up over items, tasks and sources: ``tokens / capacity_tokens`` is the fill rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mmassist.core.annotation import Caption
from mmassist.packing.conversation import Frames, Message, Turn

FILL_BINS = 10


class FillReport:
    """Counts of one item.

    ``samples``, ``tokens``, ``capacity_tokens`` (L per sample; the length itself where L is unlimited), ``frames``,
    ``turns``, ``answers`` (assistant turns among them), ``dialogs``, ``summaries``; ``fill_<n>0`` is a histogram of
    samples over the fill rate in steps of a tenth; ``captions`` those of images, clips and narrations, several of which
    may be one turn. ``dropped_<unit>_<reason>`` counts what was left out, with units ``dialogs``, ``turns``,
    ``frames``, ``samples`` and ``captions``; ``dropped_answers`` the assistant turns among the turns.

    ``captions_left_out`` names the captions that were left out, with the reason of each.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.captions_left_out: list[tuple[Caption, str]] = []

    def count_dialog(self) -> None:
        self._counts["dialogs"] += 1

    def count_sample(self, seq_len: int, max_seq_len: int, turns: Sequence[Turn]) -> None:
        """One sample of ``seq_len`` tokens; ``max_seq_len`` 0 means no limit."""
        messages = [t for t in turns if isinstance(t, Message) and t.time_s is not None]
        self._counts["samples"] += 1
        self._counts["tokens"] += seq_len
        self._counts["capacity_tokens"] += max_seq_len or seq_len
        self._counts["frames"] += sum(t.num_frames for t in turns if isinstance(t, Frames))
        self._counts["turns"] += len(messages)
        self._counts["answers"] += sum(m.is_assistant for m in messages)
        if max_seq_len:
            self._counts[f"fill_{min(FILL_BINS - 1, FILL_BINS * seq_len // max_seq_len)}0"] += 1

    def count(self, name: str, amount: int = 1) -> None:
        """Add to another count, such as ``summaries``."""
        if amount:
            self._counts[name] += amount

    def drop(self, unit: str, reason: str, amount: int = 1) -> None:
        """Leave out ``amount`` of ``dialogs``, ``turns``, ``frames`` or ``samples`` for ``reason``."""
        self.count(f"dropped_{unit}_{reason}", amount)

    def drop_turns(self, turns: Sequence[Turn], reason: str) -> None:
        """Leave out messages and frames; messages that packing itself adds do not count."""
        messages = [t for t in turns if isinstance(t, Message) and t.time_s is not None]
        self.drop("turns", reason, len(messages))
        self.count("dropped_answers", sum(m.is_assistant for m in messages))
        self.drop("frames", reason, sum(t.num_frames for t in turns if isinstance(t, Frames)))

    def drop_captions(self, captions: Sequence[Caption], reason: str) -> None:
        """Leave out captions."""
        self.drop("captions", reason, len(captions))
        self.captions_left_out += [(caption, reason) for caption in captions]

    def stats(self) -> dict[str, float]:
        """All counts, sorted by name."""
        return {name: float(value) for name, value in sorted(self._counts.items())}

    def reasons(self) -> str:
        """One line of what was dropped, for a skip message."""
        parts = [
            f"{name.removeprefix('dropped_')} {int(value)}" for name, value in self.stats().items() if "drop" in name
        ]
        return ", ".join(parts) or "nothing to pack"
