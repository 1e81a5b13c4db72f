"""What the encode stage and the runtime expect of an image encoder."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

IMAGE_SIZE = 384  # pixels of a side; the frame store holds exactly this
TOKENS_PER_SIDE = 27  # 384 // 14; the last 6 rows and columns of pixels belong to no patch
GRIDS = (2, 3, 5)  # what an encoder returns beside the pooled token


def grid_name(grid: int) -> str:
    """``3x3`` for 3: the key of a grid in an encoder's answer and in member names."""
    return f"{grid}x{grid}"


class Encoder(Protocol):
    """A vision tower that has been loaded.

    Images are already at the model's size, so encoding never resamples. Row ``i`` of every answer depends on image
    ``i``, on its position and on the number of images in the batch, never on the other images: with batches of one
    shape the bytes of a frame do not depend on its neighbours.
    """

    name: str
    dim: int
    is_random: bool  # True: seeded random weights, features without meaning
    revision: dict[str, Any]  # what was loaded: for manifests and fingerprints

    def embed_batch(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Encode ``images`` (uint8 ``[n, 384, 384, 3]``, RGB) to float16 arrays.

        ``cls`` is ``[n, 1, dim]``; ``2x2``, ``3x3`` and ``5x5`` are ``[n, 4 | 9 | 25, dim]``, row-major on the image.
        """
        ...
