"""What servers with OpenAI's chat API send back, in all its dialects."""

from __future__ import annotations

import email.utils
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mmassist.llm.protocol import Sample

# The words of several servers for an answer that came to its end; null is llama.cpp's of old.
_WHOLE = (None, "stop", "eos", "eos_token", "stop_sequence", "end_turn")
_ENDS = {"content_filter": "content_filter", "tool_calls": "tool_calls", "function_call": "tool_calls"}
_ABORTED = ("abort", "error")  # the server gave up, which says nothing about the answer
_SURROGATE = re.compile("[\ud800-\udfff]")


class NoAnswer(ValueError):
    """The server has replied, but with nothing of a completion in it: to be asked again."""


def read_reply(body: bytes) -> tuple[Sample, dict[str, int]]:
    """The first completion of a reply, and its tokens as ``Answer.usage`` counts them.

    A finish reason other than ``stop`` says why there is no whole answer: ``length``, ``content_filter``,
    ``tool_calls``, or ``empty`` when there is no text at all. Raises NoAnswer.
    """
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise NoAnswer(f"a reply that is no JSON ({_start(body)})") from error
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if choice is None or not isinstance(message, dict):
        raise NoAnswer(f"a reply without a completion ({_start(body)})")
    reason = choice.get("finish_reason")
    if reason in _ABORTED:
        raise NoAnswer(f"the server gave up in mid-answer, finish reason {reason!r}")
    text = strip_thought(clean(_text_of(message.get("content"))))
    finish = "stop" if reason in _WHOLE else _ENDS.get(str(reason), "length")
    if finish == "stop" and not text.strip():
        finish = "tool_calls" if message.get("tool_calls") else "empty"
    return Sample(text, finish), _read_usage(reply.get("usage"))


def strip_thought(text: str) -> str:
    """The text behind a leading ``<think>…</think>`` block.

    A chat template that opens the block itself leaves only its end in the answer; an answer in JSON is never cut.
    """
    head, mark, tail = text.partition("</think>")
    begin = head.lstrip()
    is_thought = begin.startswith("<think>") or not begin.startswith(("{", "["))
    return tail.lstrip() if mark and is_thought else text


def clean(text: str) -> str:
    """The text with the halves of broken surrogate pairs replaced: such a text cannot be written to any file."""
    return _SURROGATE.sub("\ufffd", text)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds for which a reply's headers ask to be left alone, from now; 0 when they do not."""
    for name, factor in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(name, "")
        try:
            seconds = float(text) * factor
        except ValueError:
            seconds = _until(text)
        if math.isfinite(seconds) and seconds > 0:
            return seconds
    return 0.0


def _until(text: str) -> float:
    """Seconds until an HTTP date; 0 for anything else."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()


def _text_of(content: Any) -> str:
    """A message's text; some servers send it in parts, of which some are thoughts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _read_usage(usage: Any) -> dict[str, int]:
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    counts = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
    counts["cached_tokens"] = details.get("cached_tokens") if isinstance(details, dict) else None
    return {name: value for name, value in counts.items() if type(value) is int and value >= 0}


def _start(body: bytes) -> str:
    text = " ".join(body[:400].decode(errors="replace").split())[:80]
    return f"it begins with {text!r}" if text else "it is empty"
