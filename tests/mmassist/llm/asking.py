"""Asking for one answer, as tests do most."""

from __future__ import annotations

from typing import Any

from mmassist.llm.ask import ask_samples


async def ask_validated(*values: Any, **more: Any) -> Any:
    """The one valid answer; as ``ask_samples``."""
    (value,) = await ask_samples(*values, **more)
    return value
