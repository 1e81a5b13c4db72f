"""Write texts that a grammar allows, every byte drawn at random: what a model without any sense would answer.

Runs under an interpreter that has llguidance. Standard input: ``{"schemas": [...], "num_walks": n}``; standard output:
for each schema a list of texts, null for one that did not come to its end.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

MAX_BYTES = 1_000_000


def main() -> None:
    from llguidance import LLMatcher, LLTokenizer

    asked = json.load(sys.stdin)
    tokenizer = LLTokenizer("byte")
    found = []
    for number, schema in enumerate(asked["schemas"]):
        # As vLLM's guidance backend compiles it where white space between values is switched off.
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides={"whitespace_flexible": False})
        is_bad, messages = LLMatcher.validate_grammar_with_warnings(grammar, tokenizer)
        if is_bad or messages:
            raise SystemExit(f"schema {number}: {messages}")
        walks = (random.Random(f"{number}/{walk}") for walk in range(asked["num_walks"]))
        found.append([_walk(LLMatcher(tokenizer, grammar), generator) for generator in walks])
    json.dump(found, sys.stdout)


def _walk(matcher: Any, generator: random.Random) -> str | None:
    text = bytearray()
    while not matcher.is_stopped() and len(text) < MAX_BYTES:
        allowed = [token for token, bias in enumerate(matcher.compute_logit_bias()) if bias]
        token = generator.choice(allowed)
        matcher.consume_token(token)
        if token < 256:
            text.append(token)
    return text.decode() if matcher.is_stopped() and not matcher.is_error() else None


if __name__ == "__main__":
    main()
