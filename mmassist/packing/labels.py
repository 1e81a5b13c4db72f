"""What a sample teaches: labels that are already shifted.

The label at position p is the token to predict *at* p, so a loss over them must not shift again. Taught are

* every assistant message whole, header and terminator included: the token before the header (as a rule the last token
  of the frame that triggers the answer) predicts ``<|start_header_id|>``, "speak now";
* silence: the last token of every frame but the last of a run predicts the separator, or the terminator where frames
  have none. The last frame of a run has no such label: what follows it decides.

All silent positions are labelled. A loader that wants fewer (there is far more silence than speech) draws anew every
epoch with ``silence_runs`` and ``thin_silence``: which positions are silent follows from ids and labels, so the record
needs no list of them. Summary-only samples teach the summary alone and have no silence labels.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from mmassist.packing.chat_format import ChatFormat
from mmassist.packing.conversation import Frames, Turn

IGNORE = -100


def build_labels(
    input_ids: np.ndarray,
    turns: Sequence[Turn],
    ranges: Sequence[tuple[int, int]],
    chat: ChatFormat,
    with_silence: bool = True,
) -> np.ndarray:
    """Labels of one assembled sequence, int32 like its ids; ``ranges`` are the token ranges of ``turns``."""
    labels = np.full(len(input_ids), IGNORE, dtype=np.int32)
    step = chat.image_tokens + int(chat.has_separator)
    silence_id = chat.silence_id
    for turn, (start, end) in zip(turns, ranges, strict=True):
        if isinstance(turn, Frames):
            if with_silence:
                # ends before the last token of the run's last frame
                labels[start + chat.image_tokens - 1 : end - 1 : step] = silence_id
        elif turn.is_assistant:
            labels[start - 1 : end - 1] = input_ids[start:end]
    return labels


def silence_runs(
    input_ids: np.ndarray, labels: np.ndarray, *, image_id: int, start_header_id: int, image_tokens: int
) -> list[np.ndarray]:
    """Positions of the silence labels, one array per run of frames that has any."""
    is_silent = (input_ids == image_id) & (labels != IGNORE) & (labels != start_header_id)
    positions = np.flatnonzero(is_silent)
    # Neighbours in a run are one frame (and a separator) apart; between runs lie at least a message and a frame.
    return [run for run in np.split(positions, np.flatnonzero(np.diff(positions) > image_tokens + 1) + 1) if len(run)]


def thin_silence(labels: np.ndarray, runs: Sequence[np.ndarray], rate: float, rand: random.Random) -> np.ndarray:
    """A copy with ``max(1, int(rate * n))`` of the n silence labels of every run; a negative rate removes all."""
    thinned = labels.copy()
    for run in runs:
        keep = 0 if rate < 0 else min(len(run), max(1, int(rate * len(run))))
        kept = run[rand.sample(range(len(run)), keep)]
        thinned[run] = IGNORE
        thinned[kept] = labels[kept]
    return thinned
