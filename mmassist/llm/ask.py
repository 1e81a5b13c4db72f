"""Ask, validate, let the model repair once: no unchecked answer leaves this module."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar

from mmassist.core.errors import ItemError, Kind
from mmassist.core.rng import seed_of
from mmassist.core.stage import LanguageModel
from mmassist.llm.protocol import Answer, Message, Request, Sample

T = TypeVar("T")
Parse = Callable[[str], tuple[Any, Sequence[str]]]  # text -> (parsed answer, reasons why there is none: "code: what")
Validate = Callable[[Any], tuple[T, Sequence[str]]]  # parsed answer -> (value, reasons against it)

_UNFINISHED = {
    "empty": "has no text",
    "content_filter": "was withheld by the server's filter",
    "tool_calls": "calls a tool instead of saying something",
}
NUM_SHOWN_REASONS = 12  # in the repair turn; more only costs tokens
MULTIPLE_TOLERANCE = 1e-6  # of a multiple's number: 88.4 / 0.1 is no whole number in floats


@dataclass
class Tally:
    """What happened to the answers of one dialog record; counts only, so the order of work does not show.

    ``tokens`` is for statistics and no part of a record: how much of a prompt was cached depends on what else ran.
    """

    num_requests: int = 0
    num_samples: int = 0
    num_repairs: int = 0
    num_failures: int = 0  # answers that stayed invalid after the repair turn
    rejected: Counter[str] = field(default_factory=Counter)  # answers and lines turned down, by reason
    repaired: Counter[str] = field(default_factory=Counter)  # turns of accepted answers put right without asking
    finish_reasons: Counter[str] = field(default_factory=Counter)
    engines: set[str] = field(default_factory=set)  # with their versions
    tokens: Counter[tuple[str, str]] = field(default_factory=Counter)  # by request kind and name of the count

    def to_row(self) -> dict[str, Any]:
        """As plain JSON with sorted keys."""
        return {
            "num_requests": self.num_requests,
            "num_samples": self.num_samples,
            "num_repairs": self.num_repairs,
            "num_failures": self.num_failures,
            "rejected": dict(sorted(self.rejected.items())),
            "repaired": dict(sorted(self.repaired.items())),
            "finish_reasons": dict(sorted(self.finish_reasons.items())),
            "engines": sorted(self.engines),
        }

    def num_tokens(self, name: str, kinds: Collection[str] | None = None) -> int:
        """Sum of one count of ``Answer.usage`` over requests of some kinds, or of all."""
        return sum(n for (kind, what), n in self.tokens.items() if what == name and (kinds is None or kind in kinds))

    def note(self, answer: Answer, kind: str) -> None:
        """Count an answer to a request of ``kind``."""
        self.num_requests += 1
        self.num_samples += len(answer.samples)
        self.finish_reasons.update(sample.finish_reason for sample in answer.samples)
        self.engines.add(answer.engine)
        self.tokens.update({(kind, name): number for name, number in answer.usage.items()})

    def reject(self, reasons: Sequence[str]) -> None:
        """Count each reason once per answer, under the code before its colon."""
        self.rejected.update({reason.split(":", 1)[0] for reason in reasons})


def check_sample(
    sample: Sample, shape: dict[str, Any] | None, validate: Validate[T], parse: Parse | None = None
) -> tuple[T | None, list[str]]:
    """The value of one completion, or None with the reasons against it.

    A cut completion is invalid whatever it says. With a shape, a JSON Schema, the text must be exactly one JSON value
    that follows it, or must be turned into one by ``parse``; without, it is passed on as it is.
    """
    if sample.finish_reason != "stop":
        why = _UNFINISHED.get(sample.finish_reason, "was not finished within the token limit")
        return None, [f"{sample.finish_reason}: the answer {why}"]
    parsed: Any = sample.text
    if shape is not None:
        parsed, reasons = (parse or _parse_json)(sample.text)
        reasons = reasons or schema_reasons(parsed, shape)
        if reasons:
            return None, list(reasons)
    value, found = validate(parsed)
    return (None, list(found)) if found else (value, [])


async def ask_samples(
    llm: LanguageModel,
    request: Request,
    validate: Validate[T],
    tally: Tally,
    shape: dict[str, Any] | None = None,
    parse: Parse | None = None,
) -> list[T]:
    """Ask for ``request.num_samples`` completions and keep the valid ones; never empty.

    ``shape`` is what an answer has to look like, the request's own schema unless another is given: a schema to decode
    under may be narrower than what is accepted. ``parse`` reads answers that are no JSON. When no sample is valid the
    model sees its first answer and the reasons once more. Raises ItemError (permanent) when that does not help.
    """
    shape = shape or request.schema
    answer: Answer = await llm.ask(request)
    tally.note(answer, request.kind)
    values: list[T] = []
    first: list[str] = []
    for sample in answer.samples:
        value, reasons = check_sample(sample, shape, validate, parse)
        if value is not None:
            values.append(value)
            continue
        tally.reject(reasons)
        first = first or reasons
    if values:
        return values
    repair = _repair_request(request, answer.samples[0].text, first)
    again: Answer = await llm.ask(repair)
    tally.note(again, request.kind)
    tally.num_repairs += 1
    value, reasons = check_sample(again.samples[0], shape, validate, parse)
    if value is not None:
        return [value]
    tally.reject(reasons)
    tally.num_failures += 1
    raise ItemError(Kind.PERMANENT, f"{request.template}: answer still invalid after a repair turn ({reasons[0]})")


def schema_reasons(value: Any, schema: dict[str, Any]) -> list[str]:
    """Reasons against a value that does not follow a JSON Schema, in the order of their places."""
    errors = _validator()(schema).iter_errors(value)
    return sorted(f"schema: at {error.json_path} {error.message[:200]}" for error in errors)


def _repair_request(request: Request, text: str, reasons: Sequence[str]) -> Request:
    listed = "\n".join(f"- {reason}" for reason in reasons[:NUM_SHOWN_REASONS])
    turn = (
        f"Your answer cannot be used, for these reasons:\n{listed}\n"
        "Answer the original request again, whole, with these points put right. Send only the answer itself."
    )
    return replace(
        request,
        messages=(*request.messages, Message("assistant", text), Message("user", turn)),
        num_samples=1,
        seed=seed_of(request.seed, "repair") % 2**31,
    )


def _parse_json(text: str) -> tuple[Any, list[str]]:
    try:
        parsed = json.loads(text, parse_constant=_refuse_constant)
        json.dumps(parsed, ensure_ascii=False).encode()  # no file could hold half a surrogate pair
        return parsed, []
    except (ValueError, RecursionError) as error:
        return None, [f"invalid_json: the answer must be one JSON value and nothing else ({error})"]


@cache
def _validator() -> Any:
    import jsonschema

    def multiple_of(validator: Any, step: float, value: Any, schema: Any) -> Iterator[Any]:
        if validator.is_type(value, "number"):
            number = value / step
            if abs(number - round(number)) > MULTIPLE_TOLERANCE:
                yield jsonschema.ValidationError(f"{value!r} is not a multiple of {step}")

    return jsonschema.validators.extend(jsonschema.Draft202012Validator, {"multipleOf": multiple_of})


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
