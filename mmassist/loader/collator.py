"""Samples to one padded batch of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmassist.core.errors import ConfigError
from mmassist.packing.labels import IGNORE

if TYPE_CHECKING:
    import torch


class Collator:
    """Pads on the right, and puts the features of all samples one after the other.

    The batch, B samples padded to L tokens (the longest, or ``pad_to``), N image tokens in all:

    * ``input_ids`` int64 ``[B, L]``, padded with the tokenizer's ``pad_id``; ``labels`` int64 ``[B, L]``, with -100;
    * ``attention_mask`` int64 ``[B, L]``, 1 on tokens; ``position_ids`` int64 ``[B, L]``, from 0, 0 on padding;
    * ``image_mask`` bool ``[B, L]``, and with features ``image_features`` float16 ``[N, dim]``: row k belongs to the
      k-th True, row by row, so ``embeddings[image_mask] = projected`` is all a model has to do;
    * ``keys`` and ``sources``, lists of str.

    Raises ConfigError for samples that do not go together (tokenizer, tokens a frame, width of features), for one
    longer than ``pad_to``, and when the rows of features are not as many as the image tokens.
    """

    def __init__(self, pad_to: int | None = None):
        if pad_to is not None and pad_to < 1:
            raise ConfigError(f"pad_to is {pad_to}; it must be at least 1")
        self._pad_to = pad_to

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        import torch

        form = _common_form(samples)
        shape = (len(samples), self._length(samples))
        # Filled by numpy: torch would start its threads for every few kilobytes. One block: every tensor with memory of
        # its own costs a worker about a millisecond on its way out.
        block = np.zeros((4, *shape), np.int64)
        input_ids, labels, attention_mask, position_ids = block
        input_ids[:], labels[:] = form["tokenizer"]["pad_id"], IGNORE
        for row, sample in enumerate(samples):
            num = len(sample["input_ids"])
            input_ids[row, :num] = sample["input_ids"]
            labels[row, :num] = sample["labels"]
            attention_mask[row, :num] = 1
            position_ids[row, :num] = np.arange(num)
        image_mask = (input_ids == form["tokenizer"]["image_id"]) & (attention_mask == 1)
        names = ("input_ids", "labels", "attention_mask", "position_ids")
        batch: dict[str, Any] = dict(zip(names, torch.from_numpy(block), strict=True))
        batch["image_mask"] = torch.from_numpy(image_mask)
        batch["keys"] = [sample["key"] for sample in samples]
        batch["sources"] = [sample["source"] for sample in samples]
        if form["dim"] is not None:
            batch["image_features"] = _join_features(samples, image_mask.sum(1).tolist(), form["dim"])
        return batch

    def _length(self, samples: Sequence[dict[str, Any]]) -> int:
        longest = max(samples, key=lambda sample: len(sample["input_ids"]))
        num = len(longest["input_ids"])
        if self._pad_to is None:
            return num
        if num > self._pad_to:
            raise ConfigError(f"sample {longest['key']} has {num} tokens and pad_to is {self._pad_to}")
        return self._pad_to


def _common_form(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What all samples have in common, ``dim`` None without features. Raises ConfigError naming two that differ."""
    forms = [_form(sample) for sample in samples]
    for sample, form in zip(samples, forms, strict=True):
        for name, value in form.items():
            if value != forms[0][name]:
                raise ConfigError(
                    f"{name} of {sample['key']} ({sample['source']}) is {value}, of {samples[0]['key']} "
                    f"({samples[0]['source']}) in the same batch {forms[0][name]}; mix sources that were packed alike"
                )
    return forms[0]


def _form(sample: dict[str, Any]) -> dict[str, Any]:
    tokenizer = {name: value for name, value in sample["record"]["tokenizer"].items() if name != "separator_id"}
    dim = sample["features"].shape[2] if "features" in sample else None
    return {"tokenizer": tokenizer, "num_tokens_per_img": sample["record"]["num_tokens_per_img"], "dim": dim}


def _join_features(samples: Sequence[dict[str, Any]], num_tokens: Sequence[int], dim: int) -> torch.Tensor:
    import torch

    rows = [sample["features"].reshape(-1, dim) for sample in samples]
    for sample, found, num in zip(samples, rows, num_tokens, strict=True):
        if len(found) != num:
            raise ConfigError(f"sample {sample['key']} has {num} image tokens and {len(found)} rows of features")
    if len(rows) == 1:
        return torch.from_numpy(rows[0])
    return torch.from_numpy(np.concatenate(rows))  # numpy asks for large pages where torch does not
