"""What the encode stage and the runtime expect of an image encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

IMAGE_SIZE = 384  # pixels of a side: what the frame store holds unless it is told otherwise


def grid_name(grid: int) -> str:
    """``3x3`` for 3: the key of a grid in an encoder's answer and in member names."""
    return f"{grid}x{grid}"


class Launched(Protocol):
    """A batch under way."""

    def fetch(self) -> dict[str, np.ndarray]:
        """Wait for the batch and return its features."""
        ...


class Encoder(Protocol):
    """A vision tower that has been loaded.

    Row ``i`` of every answer depends on image ``i``, on its position and on the number of images in the batch, never on
    the other images: with batches of one shape the bytes of a frame do not depend on its neighbours.
    """

    name: str
    dim: int
    tokens_per_side: int
    is_random: bool  # True: seeded random weights, features without meaning
    revision: dict[str, Any]  # what was loaded: for manifests and fingerprints

    def facts(self, frame_size: int) -> dict[str, Any]:
        """What features.json is to say of the model and of frames of ``frame_size`` pixels a side."""
        ...

    def embed_batch(self, images: np.ndarray, grids: Sequence[int]) -> dict[str, np.ndarray]:
        """``launch`` and ``fetch`` in one."""
        ...

    def launch(self, images: np.ndarray, grids: Sequence[int]) -> Launched:
        """Begin to encode ``images`` (uint8 ``[n, size, size, 3]``, RGB) to float16 arrays.

        ``cls`` is ``[n, 1, dim]``; for each g of ``grids`` there is ``gxg``, ``[n, g * g, dim]``, row-major on the
        image. Images of another size than the model's are scaled by antialiased bilinear interpolation.
        """
        ...
