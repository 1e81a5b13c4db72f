from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmassist.llm.schema_dialect import LIMITS, NAMED, VALUES, plain_schema

# Names of the answer's own that are called like parts of the language.
names = st.sampled_from([*sorted(LIMITS), "prefixItems", "properties", "items", "enum", "const", "type", "turns"])
values = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.text("ab", max_size=3), st.dictionaries(names, st.integers(0, 3))
)
limits = st.fixed_dictionaries(
    {},
    optional={
        "minimum": st.integers(-3, 0),
        "maximum": st.integers(0, 3),
        "multipleOf": st.integers(1, 2),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 3),
        "pattern": st.just("^a"),
        "minItems": st.integers(0, 1),
        "maxItems": st.integers(0, 3),
        "uniqueItems": st.booleans(),
        "minProperties": st.integers(0, 1),
        "maxProperties": st.integers(0, 3),
    },
)
leaves = st.one_of(
    st.sampled_from(["string", "integer", "number", "boolean", "null"]).map(lambda name: {"type": name}),
    st.lists(values, min_size=1, max_size=3).map(lambda some: {"enum": some}),
    values.map(lambda value: {"const": value}),
)


def grown(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    objects = st.dictionaries(names, inner, max_size=3).flatmap(
        lambda fields: st.builds(
            lambda required, extra: {
                "type": "object",
                "properties": fields,
                "required": required,
                "additionalProperties": extra,
            },
            st.lists(st.sampled_from(sorted(fields)), unique=True) if fields else st.just([]),
            st.booleans(),
        )
    )
    lists = inner.map(lambda items: {"type": "array", "items": items})
    # As the toolkit writes them: ``items`` covers the entries of the prefix.
    prefixed = inner.map(lambda items: {"type": "array", "items": items, "prefixItems": [{**items, "maximum": 1}]})
    either = st.lists(inner, min_size=1, max_size=2).map(lambda some: {"anyOf": some})
    named = st.dictionaries(names, inner, min_size=1, max_size=2).map(lambda some: {"$defs": some})
    return st.one_of(objects, lists, prefixed, either, named)


schemas = st.recursive(st.builds(lambda leaf, some: leaf | some, leaves, limits), grown, max_leaves=6).flatmap(
    lambda schema: limits.map(lambda some: schema | some)
)


def words(schema: Any) -> Iterator[str]:
    """All words of the language that a schema uses, without names of the answer's own and plain values."""
    if isinstance(schema, list):
        for entry in schema:
            yield from words(entry)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            yield key
            if key in NAMED:
                for entry in value.values():
                    yield from words(entry)
            elif key not in VALUES:
                yield from words(value)


def own_names(schema: Any) -> list[Any]:
    """Names of the answer's own and plain values, in their order, outside of prefixes."""
    if isinstance(schema, list):
        return [name for entry in schema for name in own_names(entry)]
    if not isinstance(schema, dict):
        return []
    found: list[Any] = []
    for key, value in schema.items():
        if key in NAMED:
            found += [name for name, entry in value.items() for name in (name, *own_names(entry))]
        elif key in VALUES:
            found.append((key, value))
        elif key != "prefixItems":
            found += own_names(value)
    return found


@given(schemas)
def test_no_limit_is_left_and_every_name_and_choice_is(schema: dict[str, Any]) -> None:
    before = copy.deepcopy(schema)
    plain = plain_schema(schema)
    assert schema == before
    assert not LIMITS.union({"prefixItems"}).intersection(words(plain))
    assert own_names(plain) == own_names(schema)
    assert plain_schema(plain) == plain
    jsonschema.Draft202012Validator.check_schema(plain)


json_values = st.recursive(
    values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)


@given(schemas, json_values)
def test_what_the_whole_schema_accepts_the_plain_one_accepts(schema: dict[str, Any], value: Any) -> None:
    if jsonschema.Draft202012Validator(schema).is_valid(value):
        assert jsonschema.Draft202012Validator(plain_schema(schema)).is_valid(value)


def test_a_dialog_keeps_its_shape() -> None:
    turn = {
        "type": "object",
        "properties": {
            "time": {"type": "number", "minimum": 0, "maximum": 90, "multipleOf": 0.1},
            "role": {"type": "string", "enum": ["user", "assistant"]},
            "text": {"type": "string", "minLength": 1, "maxLength": 400, "pattern": "[a-z]"},
        },
        "required": ["time", "role", "text"],
        "additionalProperties": False,
    }
    goal = turn | {"properties": turn["properties"] | {"role": {"const": "user"}}}  # type: ignore[operator]
    turns = {"type": "array", "items": turn, "minItems": 1, "maxItems": 120, "prefixItems": [goal]}
    plain_turn = turn | {
        "properties": {
            "time": {"type": "number"},
            "role": {"type": "string", "enum": ["user", "assistant"]},
            "text": {"type": "string"},
        }
    }
    assert plain_schema(turns) == {"type": "array", "items": plain_turn}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("a", "string"),
        (1, "integer"),
        (1.5, "number"),
        (True, "boolean"),
        (None, "null"),
        ([], "array"),
        ({}, "object"),
    ],
)
def test_a_constant_says_its_type(value: Any, name: str) -> None:
    assert plain_schema({"const": value}) == {"const": value, "type": name}


def test_a_list_that_ends_with_its_prefix_has_no_rule_left() -> None:
    assert plain_schema({"type": "array", "prefixItems": [{"type": "string"}], "items": False}) == {"type": "array"}


@pytest.mark.parametrize("schema", [True, False, {}, {"type": "string"}])
def test_what_has_no_limits_stays(schema: Any) -> None:
    assert plain_schema(schema) == schema
