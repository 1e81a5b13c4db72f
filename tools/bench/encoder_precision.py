"""What reduced precision costs: features in bf16 and fp16 against the same model's in float32, on the CPU.

    python -m tools.bench.encoder_precision open_clip ViT-SO400M-14-SigLIP-384 [--layer -2]

Weights are random. Printed is the smallest cosine between vectors of equal place: of every patch token, of the pooled
vector and of both grids, over two generated pictures. SigLIP's so400m takes minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from mmassist.vision import build_encoder, build_encoder_config

DTYPES = ("fp32", "bf16", "fp16")


def iter_report(engine: str, model: str, layer: Any) -> Iterator[str]:
    """Yield a line per reduced type and part."""
    exact: dict[str, np.ndarray] = {}
    for dtype in DTYPES:
        values = {"engine": engine, "model": model, "pretrained": "random", "device": "cpu", "num_threads": 2}
        encoder = build_encoder(build_encoder_config({**values, "dtype": dtype, "layer": layer}, "encoder"))
        features = encoder.embed_batch(_pictures(), (2, 3, encoder.tokens_per_side))
        if dtype == "fp32":
            exact = features
            continue
        cosines = {part: _least_cosine(values, exact[part]) for part, values in features.items()}
        yield f"{dtype}: " + ", ".join(f"{part} {cosine:.5f}" for part, cosine in cosines.items())


def _pictures() -> np.ndarray:
    y, x = np.mgrid[0:384, 0:384]
    waves = [[127 + 120 * np.sin((x * (c + 1) + y * k) / (20 + 9 * k)) for c in range(3)] for k in range(2)]
    return np.stack([np.stack(planes, -1) for planes in waves]).astype(np.uint8)


def _least_cosine(left: np.ndarray, right: np.ndarray) -> float:
    a, b = left.astype(np.float64), right.astype(np.float64)
    return float(((a * b).sum(-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))).min())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("open_clip", "timm"))
    parser.add_argument("model")
    parser.add_argument("--layer", type=int, default=-1)
    arguments = parser.parse_args()
    for line in iter_report(arguments.engine, arguments.model, arguments.layer):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
