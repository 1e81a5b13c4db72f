"""The engine without a model: answers are made from the request's payload, through the schemas a model answers in.

For the demonstration, the tests, and for trying a pipeline before GPUs are spent on it. The same request always gets
the same answer. A set share of first answers is broken on purpose, so that repair turns are part of every run.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from mmassist.core.rng import rng
from mmassist.llm import phrases
from mmassist.llm.config import EngineConfig
from mmassist.llm.protocol import Answer, Request, Sample
from mmassist.llm.script import ANSWER_WITHIN_S, is_instructed, write_turns
from mmassist.llm.script_rating import find_words, write_goal_rating, write_rating

MAX_GOAL_STEPS = 14

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ScriptedConfig(EngineConfig):
    """``flaw_rate`` is the share of requests whose first answer is broken on purpose."""

    engine: Literal["scripted"]
    name: str = "scripted"
    flaw_rate: float = 0.05

    is_scripted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.flaw_rate <= 1:
            raise ValueError(f"flaw_rate is {self.flaw_rate!r}; it must lie between 0 and 1")

    @property
    def generator(self) -> str:
        return "scripted"

    @property
    def revision(self) -> str:
        """Raise the number when the same request gets another answer."""
        return "scripted/1"

    def check(self, section: str = "llm") -> None:
        """Nothing can be missing."""

    def load(self, secret: str | None) -> ScriptedEngine:
        return ScriptedEngine(self)


class ScriptedEngine:
    """See the module. Needs no set-up and holds nothing."""

    is_scripted = True

    def __init__(self, config: ScriptedConfig):
        self.config = config
        self.name = config.name
        self.revision = config.revision

    async def answer(self, request: Request) -> Answer:
        """Answer from the payload; the first sample of a first attempt may be flawed."""
        key = request.digest()
        samples = [self._sample(request, index, key) for index in range(request.num_samples)]
        usage = {
            "prompt_tokens": sum(len(message.content.split()) for message in request.messages),
            "completion_tokens": sum(len(sample.text.split()) for sample in samples),
        }
        return Answer(tuple(samples), self.name, usage)

    def close(self) -> None:
        """Nothing is held."""

    def _sample(self, request: Request, index: int, key: str) -> Sample:
        generator = rng("scripted", request.kind, request.seed, index)
        values = _WRITERS[request.kind](request.payload, generator)
        flaws = rng("scripted-flaw", key)
        if index == 0 and not request.is_repair and flaws.random() < self.config.flaw_rate:
            return _spoil(request, values, flaws)
        return Sample(_render(request, values))


def _render(request: Request, values: Values) -> str:
    if request.schema is not None:
        return json.dumps(values, ensure_ascii=False)
    if request.kind == "summary":
        return f"SUMMARY: {values['summary']}"
    if request.kind in ("goal", "consolidate"):
        return "\n".join([values["task"], *(f"{n}. {step}" for n, step in enumerate(values["steps"], start=1))])
    if request.kind == "match":
        return f"{values['reason']}\nANSWER: {values['task']}"
    if request.kind == "label":
        return f"{values['reason']}\nFINAL ANSWER: {values['label']}"
    if request.kind in ("rate", "rate_goal"):
        return "\n".join(f"{name}: {value}" for name, value in values.items())
    lines = []
    for turn in values["turns"]:
        labels = ""
        if turn["role"] == "assistant" and "initiative" in turn:
            labels = f" [{turn['initiative']}|{', '.join(turn['intents'])}]"
        lines.append(f"[{turn['time']:.1f}s] {turn['role'].capitalize()}: {turn['text']}{labels}")
    return "\n".join(lines)


def _spoil(request: Request, values: Values, generator: random.Random) -> Sample:
    """One of the ways in which models go wrong; plain text only gets talk around it."""
    text = _render(request, values)
    flaws = ["preamble"]
    if request.schema is not None:
        flaws += ["broken", "cut", "missing_field"]
        if values.get("turns"):
            flaws += ["out_of_window"]
            flaws += ["unknown_label"] if request.kind == "refine" else []
    flaw = generator.choice(flaws)
    if flaw == "preamble":
        return Sample(f"Here is what you asked for:\n\n{text}")
    if flaw == "broken":
        return Sample(text[: len(text) * 2 // 3])
    if flaw == "cut":
        return Sample(text[: len(text) * 2 // 3], "length")
    changed: Values = json.loads(text)
    turns: list[Values] = changed.get("turns", [])
    if flaw == "missing_field":
        target = turns[-1] if turns else changed
        del target[sorted(target)[0]]
    elif flaw == "out_of_window":
        turns[-1]["time"] = round(request.payload["end_s"] + generator.uniform(5, 60), 1)
    else:
        turns[-1].update(initiative="initiative", intents=["small_talk"])
    return Sample(json.dumps(changed, ensure_ascii=False))


def _write_goal(payload: Mapping[str, Any], generator: random.Random) -> Values:
    actions = [step for step in payload["steps"] if not step["is_marker"]]
    steps = [s for s in actions if is_instructed(s) and not s["note"].startswith("correction")] or actions
    orders = list(dict.fromkeys(phrases.as_order(step["text"]) for step in steps))
    if len(orders) > MAX_GOAL_STEPS:
        chosen = sorted(generator.sample(range(len(orders)), MAX_GOAL_STEPS))
        orders = [orders[index] for index in chosen]
    goal = " ".join(payload["goal"].split()) or f"{orders[0]} and finish what follows from it"
    return {"task": _capital(goal)[:200], "steps": [f"{_capital(order)}." for order in orders]}


def _write_consolidated(payload: Mapping[str, Any], generator: random.Random) -> Values:
    candidates = payload["candidates"]
    names = Counter(candidate["task"] for candidate in candidates)
    name = min(names, key=lambda task: (-names[task], task))
    lists = Counter(tuple(candidate["steps"]) for candidate in candidates)
    steps = min(lists, key=lambda found: (-lists[found], -len(found), found))
    return {"task": name, "steps": list(steps)}


def _write_match(payload: Mapping[str, Any], generator: random.Random) -> Values:
    words = find_words(" ".join(step["text"] for step in payload["steps"]))
    shared = [len(words & find_words(" ".join([task["task"], *task["steps"]]))) for task in payload["tasks"]]
    return {"reason": "Most words in common.", "task": 1 + shared.index(max(shared))}


def _write_label(payload: Mapping[str, Any], generator: random.Random) -> Values:
    # One sample in eight disagrees, as samples do.
    return {"reason": "The steps fit the description.", "label": 2 if generator.random() < 0.125 else 1}


def _write_dialog(payload: Mapping[str, Any], generator: random.Random) -> Values:
    return {"turns": write_turns(payload, generator)}


def _write_refined(payload: Mapping[str, Any], generator: random.Random) -> Values:
    turns = payload["turns"]
    refined = []
    for index, turn in enumerate(turns):
        row: Values = {"time": turn["time"], "role": turn["role"], "text": turn["text"]}
        if turn["role"] == "user":
            row |= {"initiative": "none", "intents": []}
        else:
            row["text"] = _reword(turn["text"], generator)
            states_goal = payload["is_first"] and index == 1  # the opening: the assistant leads from here
            before = turns[index - 1] if index else None
            answers = (
                before is not None and before["role"] == "user" and turn["time"] - before["time"] <= ANSWER_WITHIN_S
            )
            row["initiative"] = "responsive" if answers and not states_goal else "initiative"
            row["intents"] = phrases.find_intents(row["text"])
        refined.append(row)
    return {"turns": refined}


def _write_summary(payload: Mapping[str, Any], generator: random.Random) -> Values:
    recent = payload["recent"]
    said = [turn["text"] for turn in recent if turn["role"] == "user"]
    current = recent[-1]["text"].rstrip(" .!")
    parts = [f"The user's aim is: {phrases.cut(payload['goal'].rstrip(' .'))}"]
    parts.append(generator.choice(("the assistant has spoken {n} times", "so far there were {n} turns of guidance")))
    parts[-1] = parts[-1].format(n=payload["num_assistant_turns"])
    if said and payload["num_user_turns"] > 1:
        parts.append(f'the user last said "{said[-1][:200]}"')
    parts.append(f'where things stand now: "{current[:600]}"')
    return {"summary": "; ".join(parts) + "."}


def _reword(text: str, generator: random.Random) -> str:
    for old, new in phrases.OPENERS:
        if text.startswith(old) and generator.random() < 0.5:
            return new + text[len(old) :]
    return text


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


_WRITERS: dict[str, Callable[[Mapping[str, Any], random.Random], Values]] = {
    "goal": _write_goal,
    "consolidate": _write_consolidated,
    "match": _write_match,
    "label": _write_label,
    "dialog": _write_dialog,
    "refine": _write_refined,
    "summary": _write_summary,
    "rate": write_rating,
    "rate_goal": write_goal_rating,
}
