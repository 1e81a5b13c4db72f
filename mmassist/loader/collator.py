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
        length = self._length(samples)
        shape = (len(samples), length)
        image_id = form["tokenizer"]["image_id"]
        input_ids = torch.full(shape, form["tokenizer"]["pad_id"])
        labels = torch.full(shape, IGNORE)
        attention_mask, position_ids = torch.zeros(2, *shape, dtype=torch.int64)
        image_mask = torch.zeros(shape, dtype=torch.bool)
        for row, sample in enumerate(samples):
            ids = torch.from_numpy(sample["input_ids"])
            num = len(ids)
            input_ids[row, :num] = ids
            labels[row, :num] = torch.from_numpy(sample["labels"])
            attention_mask[row, :num] = 1
            position_ids[row, :num] = torch.arange(num)
            image_mask[row, :num] = ids == image_id
        batch = {
            "input_ids": input_ids,
            "labels": labels,
            "attention_mask": attention_mask,
            "position_ids": position_ids,
            "image_mask": image_mask,
            "keys": [sample["key"] for sample in samples],
            "sources": [sample["source"] for sample in samples],
        }
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

    joined = _empty((sum(num_tokens), dim))
    start = 0
    for sample, num in zip(samples, num_tokens, strict=True):
        rows: np.ndarray = sample["features"].reshape(-1, dim)
        if len(rows) != num:
            raise ConfigError(f"sample {sample['key']} has {num} image tokens and {len(rows)} rows of features")
        joined[start : start + num] = torch.from_numpy(rows)
        start += num
    return joined


def _empty(shape: tuple[int, int]) -> torch.Tensor:
    """A float16 tensor; in a worker in shared memory, where it would be copied to on its way out."""
    import torch
    from torch.utils.data import get_worker_info

    made = torch.empty(0, dtype=torch.float16)
    if get_worker_info() is None:
        return made.new_empty(shape)
    num_bytes = shape[0] * shape[1] * made.element_size()
    return made.set_(torch.UntypedStorage._new_shared(num_bytes), 0, shape)  # type: ignore[call-overload]
