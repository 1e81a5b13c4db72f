"""What is asked of a language model and what it answers, the same for every engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, get_args

from mmassist.core.fingerprint import digest

RequestKind = Literal["goal", "consolidate", "match", "label", "dialog", "refine", "summary", "rate", "rate_goal"]
REQUEST_KINDS: tuple[str, ...] = get_args(RequestKind)


@dataclass(frozen=True)
class Message:
    """One message of a chat; ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Request:
    """One question to a model.

    ``template`` is the prompt's name and version (``dialog/1``). ``schema`` is the JSON Schema of the answer, None for
    an answer in plain text. ``payload`` holds, as plain JSON, the facts the prompt was rendered from: an engine without
    a model answers from it. ``seed`` makes sampling repeatable on engines that honour it.
    """

    kind: RequestKind
    template: str
    messages: tuple[Message, ...]
    schema: dict[str, Any] | None
    payload: dict[str, Any]
    num_samples: int = 1
    seed: int = 0
    max_tokens: int = 4096
    temperature: float = 0.5
    top_p: float = 0.95

    def __post_init__(self) -> None:
        assert self.kind in REQUEST_KINDS, f"request kind {self.kind!r}"
        assert self.num_samples > 0, "num_samples must be above 0"

    @property
    def is_repair(self) -> bool:
        """Whether an answer of the model is already part of the chat."""
        return any(message.role == "assistant" for message in self.messages)

    def digest(self) -> str:
        """Digest of everything that can change the answer: the key under which answers are journaled."""
        return digest(asdict(self))


@dataclass(frozen=True)
class Sample:
    """One completion.

    ``finish_reason`` is ``stop`` for a whole answer, ``length`` for one cut by ``max_tokens``; ``empty``,
    ``content_filter`` and ``tool_calls`` are other ways of not answering.
    """

    text: str
    finish_reason: str = "stop"


@dataclass(frozen=True)
class Answer:
    """All samples of one request, in order.

    ``engine`` names the engine with its version; ``usage`` counts tokens where the engine knows them:
    ``prompt_tokens``, ``completion_tokens`` and ``cached_tokens``, those of the prompt that needed no computing.
    """

    samples: tuple[Sample, ...]
    engine: str
    usage: dict[str, int] = field(default_factory=dict)

    def to_row(self) -> dict[str, Any]:
        """As plain JSON, for journals."""
        return {"samples": [asdict(s) for s in self.samples], "engine": self.engine, "usage": dict(self.usage)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Answer:
        return cls(tuple(Sample(**s) for s in row["samples"]), row["engine"], dict(row["usage"]))


class Engine(Protocol):
    """A loaded language model, or what stands in for one.

    ``is_scripted`` marks data that no model has written. ``answer`` may be awaited many times at once. Raises ItemError
    for a request that cannot be answered and StageError when nothing can be answered any more.
    """

    name: str
    revision: str
    is_scripted: bool

    async def answer(self, request: Request) -> Answer: ...

    def close(self) -> None: ...
