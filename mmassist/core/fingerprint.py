"""Digests of settings and inputs: equal meaning, equal digest, on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

# Made once: making it takes as long as encoding an item.
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical_json(value: Any) -> str:
    """Render ``value`` so that equal values give equal text (sorted keys, no spaces, plain UTF-8)."""
    return _encode(value)


def digest(value: Any) -> str:
    """First 32 hex digits of the SHA-256 of the canonical JSON of ``value``."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]


def bytes_digest(data: bytes) -> str:
    """First 32 hex digits of the SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()[:32]


def iter_differences(
    left: Mapping[str, Any], right: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield ``(dotted key, left value, right value)`` for every leaf in which two settings trees differ."""
    for key in sorted({*left, *right}):
        a, b, name = left.get(key), right.get(key), f"{prefix}{key}"
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from iter_differences(a, b, f"{name}.")
        elif a != b:
            yield name, a, b
