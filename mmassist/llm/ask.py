"""Ask, validate, let the model repair once: no unchecked answer leaves this module."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mmassist.core.errors import ItemError, Kind
from mmassist.core.rng import seed_of
from mmassist.core.stage import LanguageModel
from mmassist.llm.protocol import Answer, Message, Request, Sample

T = TypeVar("T")
Validate = Callable[[Any], tuple[T, Sequence[str]]]  # parsed answer -> (value, reasons against it: "code: what")

NUM_SHOWN_REASONS = 12  # in the repair turn; more only costs tokens


@dataclass
class Tally:
    """What happened to the answers of one dialog record; counts only, so the order of work does not show."""

    num_requests: int = 0
    num_samples: int = 0
    num_repairs: int = 0
    num_failures: int = 0  # answers that stayed invalid after the repair turn
    rejected: Counter[str] = field(default_factory=Counter)  # answers and lines turned down, by reason
    finish_reasons: Counter[str] = field(default_factory=Counter)

    def to_row(self) -> dict[str, Any]:
        """As plain JSON with sorted keys."""
        return {
            "num_requests": self.num_requests,
            "num_samples": self.num_samples,
            "num_repairs": self.num_repairs,
            "num_failures": self.num_failures,
            "rejected": dict(sorted(self.rejected.items())),
            "finish_reasons": dict(sorted(self.finish_reasons.items())),
        }

    def note(self, answer: Answer) -> None:
        self.num_requests += 1
        self.num_samples += len(answer.samples)
        self.finish_reasons.update(sample.finish_reason for sample in answer.samples)

    def reject(self, reasons: Sequence[str]) -> None:
        """Count each reason once per answer, under the code before its colon."""
        self.rejected.update({reason.split(":", 1)[0] for reason in reasons})


def check_sample(sample: Sample, schema: dict[str, Any] | None, validate: Validate[T]) -> tuple[T | None, list[str]]:
    """The value of one completion, or None with the reasons against it.

    A cut completion is invalid whatever it says. With a schema the text must be exactly one JSON value.
    """
    if sample.finish_reason != "stop":
        return None, [f"{sample.finish_reason}: the answer was not finished within the token limit"]
    parsed: Any = sample.text
    if schema is not None:
        try:
            parsed = json.loads(sample.text, parse_constant=_refuse_constant)
        except ValueError as error:
            return None, [f"invalid_json: the answer must be one JSON value and nothing else ({error})"]
        reasons = _schema_reasons(parsed, schema)
        if reasons:
            return None, reasons
    value, found = validate(parsed)
    return (None, list(found)) if found else (value, [])


async def ask_samples(llm: LanguageModel, request: Request, validate: Validate[T], tally: Tally) -> list[T]:
    """Ask for ``request.num_samples`` completions and keep the valid ones; never empty.

    When none is valid the model sees its first answer and the reasons once more. Raises ItemError (permanent) when
    that does not help.
    """
    answer: Answer = await llm.ask(request)
    tally.note(answer)
    values: list[T] = []
    first: list[str] = []
    for sample in answer.samples:
        value, reasons = check_sample(sample, request.schema, validate)
        if value is not None:
            values.append(value)
            continue
        tally.reject(reasons)
        first = first or reasons
    if values:
        return values
    repair = _repair_request(request, answer.samples[0].text, first)
    again: Answer = await llm.ask(repair)
    tally.note(again)
    tally.num_repairs += 1
    value, reasons = check_sample(again.samples[0], request.schema, validate)
    if value is not None:
        return [value]
    tally.reject(reasons)
    tally.num_failures += 1
    raise ItemError(Kind.PERMANENT, f"{request.template}: answer still invalid after a repair turn ({reasons[0]})")


async def ask_validated(llm: LanguageModel, request: Request, validate: Validate[T], tally: Tally) -> T:
    """Ask for one completion; as ``ask_samples``."""
    assert request.num_samples == 1
    return (await ask_samples(llm, request, validate, tally))[0]


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


def _schema_reasons(value: Any, schema: dict[str, Any]) -> list[str]:
    import jsonschema

    errors = jsonschema.Draft202012Validator(schema).iter_errors(value)
    found = [f"schema: at {error.json_path} {error.message[:200]}" for error in errors]
    return sorted(found)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
