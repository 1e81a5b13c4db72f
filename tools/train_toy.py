"""Train a toy on prepared samples, to see that everything a trainer needs is there.

    python -m tools.train_toy [SOURCES] [--processed demo_data/processed_data] [--encoder tiny] [--steps 20]

``SOURCES`` is ``<dataset>/<folder>[@<repeat>]``, several with commas; without it, what ``make demo`` left. A causal
transformer of two layers, with a projector for the features of frames, learns on the CPU for some steps; losses are
printed, and the exit code is 1 if they did not fall. Killed and started again with the same ``--checkpoint`` it goes on
behind the last step; with ``--rank`` and ``--world-size`` it takes its share of every batch, and the place where a real
trainer averages gradients is marked. The model is nobody's: what it learns has no use.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from launchers.ending import end_command
from mmassist.core.errors import ConfigError
from mmassist.loader import PreparedDataset, PreparedLoader, parse_sources

DEMO = "wtag/knowledge_L4096_I10,holoassist/knowledge_L4096_I10"
WIDTH, HEADS, LAYERS = 64, 4, 2
FALL_OVER = 5  # steps at the beginning and at the end whose median losses are compared


class ToyAssistant(nn.Module):
    """Token embeddings, projected features at the image tokens, two causal layers, and a token at every position."""

    def __init__(self, vocab_size: int, max_length: int, feature_dim: int):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, WIDTH)
        self.positions = nn.Embedding(max_length, WIDTH)
        self.projector = nn.Sequential(nn.Linear(feature_dim, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH))
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, vocab_size)

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        """Mean loss over the taught positions.

        Labels are shifted already, so they are not shifted here; padding is on the right, where no token looks.
        """
        embeddings = self.tokens(batch["input_ids"])
        embeddings[batch["image_mask"]] = self.projector(batch["image_features"].float())
        embeddings = embeddings + self.positions(batch["position_ids"])
        length = embeddings.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        logits = self.head(self.layers(embeddings, mask=mask, is_causal=True))
        return functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=-100)


class Trainer:
    """Model, optimiser and loader, and the file that all three are saved to together."""

    def __init__(self, loader: PreparedLoader, words: argparse.Namespace):
        torch.manual_seed(words.seed)
        sizes = _sizes(loader.dataset)
        self.model = ToyAssistant(**sizes)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=words.learning_rate)
        self.loader = loader
        self.step = 0
        self._checkpoint: Path | None = words.checkpoint
        if self._checkpoint is not None and self._checkpoint.exists():
            self._load(self._checkpoint)

    def run(self, num_steps: int) -> list[float]:
        losses = []
        batches = self._iter_batches()
        while self.step < num_steps:
            batch = next(batches)
            self.optimizer.zero_grad()
            loss = self.model(batch)
            loss.backward()  # several ranks: DistributedDataParallel averages the gradients here
            self.optimizer.step()
            self.step += 1
            losses.append(loss.item())
            print(f"step {self.step}  epoch {self.loader.epoch}  loss {losses[-1]:.3f}  {' '.join(batch['keys'])}")
            self._save()
        return losses

    def _iter_batches(self) -> Iterator[dict[str, Any]]:
        while True:
            yield from self.loader

    def _save(self) -> None:
        if self._checkpoint is None:
            return
        state = {"step": self.step, "loader": self.loader.state_dict(), "model": self.model.state_dict()}
        temp = self._checkpoint.with_suffix(".tmp")
        torch.save(state | {"optimizer": self.optimizer.state_dict()}, temp)
        temp.replace(self._checkpoint)

    def _load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.loader.load_state_dict(state["loader"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        print(f"going on behind step {self.step}")


def _sizes(dataset: PreparedDataset) -> dict[str, int]:
    """What the model must hold, from all samples once; a real model's tokenizer says it."""
    vocab_size, max_length, feature_dim = 0, 0, 0
    for sample in dataset.iter_stored():
        if "features" not in sample:
            raise ConfigError(f"{sample['source']} has no features; name their folder with --encoder")
        feature_dim = sample["features"].shape[2]
        vocab_size = max(vocab_size, int(sample["input_ids"].max()) + 1, int(sample["labels"].max()) + 1)
        max_length = max(max_length, len(sample["input_ids"]))
    return {"vocab_size": vocab_size, "max_length": max_length, "feature_dim": feature_dim}


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.train_toy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="?", default=DEMO)
    parser.add_argument("--processed", type=Path, default=Path("demo_data/processed_data"))
    parser.add_argument("--split", default="train")
    parser.add_argument("--encoder", default="tiny", help="folder of features, below features/ of every data set")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--silence", type=float, default=0.1, help="share of silent frames that are taught")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--world-size", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="saved after every step; gone on from when it is there")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Train; 0 when the loss fell, 1 when it did not, 2 for a user's mistake."""
    return end_command(lambda: _train(_parse(arguments)), "stopped; with --checkpoint the same command goes on")


def _train(words: argparse.Namespace) -> int:
    torch.set_num_threads(1)  # matrices this small wait longer for a second thread than they take
    dataset = PreparedDataset(
        parse_sources(words.sources, words.processed),
        words.split,
        seed=words.seed,
        encoder=words.encoder,
        batch_size=words.batch_size,
        neg_frame_sampling_rate=words.silence,
        rank=words.rank,
        world_size=words.world_size,
        drop_last=words.world_size > 1,  # ranks must take the same number of steps
    )
    print(f"an epoch has {dataset.epoch_size} samples: {dataset.num_samples}")
    losses = Trainer(PreparedLoader(dataset, num_workers=words.num_workers), words).run(words.steps)
    if not losses:
        print("nothing left to do")
        return 0
    few = min(FALL_OVER, max(1, len(losses) // 2))
    first, last = statistics.median(losses[:few]), statistics.median(losses[-few:])
    print(f"loss {first:.3f} -> {last:.3f} (medians of {few} steps)")
    return 0 if last < first else 1


if __name__ == "__main__":
    sys.exit(main())
