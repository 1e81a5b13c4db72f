"""Randomness that depends on what is drawn for, never on the order of work."""

from __future__ import annotations

import hashlib
import random


def seed_of(*parts: str | int) -> int:
    """A 63-bit seed that is a pure function of ``parts``."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(*parts: str | int) -> random.Random:
    """A generator seeded by ``parts``; ask for a new one per purpose and item."""
    return random.Random(seed_of(*parts))
