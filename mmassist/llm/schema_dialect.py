"""JSON Schemas for servers that know only part of the language."""

from __future__ import annotations

from typing import Any

# Limits that decoders of many servers refuse; the answer is checked against the whole schema all the same.
LIMITS = frozenset(
    ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern"),
) | frozenset(
    ("format", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains", "minProperties", "maxProperties"),
)
# Below these keys stand names of the answer's own, which may be called like a limit, and below those plain values.
NAMED = frozenset(("properties", "patternProperties", "dependentSchemas", "$defs", "definitions"))
VALUES = frozenset(("const", "enum", "default", "examples", "required", "dependentRequired"))
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def plain_schema(schema: Any) -> Any:
    """The schema without limits: types, names, choices and what is required; of a list, what ``items`` says of all.

    It accepts whatever the whole one accepts, provided that ``items`` covers the entries of ``prefixItems``, and that
    there is no ``not``, ``if``, ``oneOf`` or ``contains``.
    """
    if isinstance(schema, list):
        return [plain_schema(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _plain_value(key, value) for key, value in schema.items() if key not in LIMITS}
    if made.pop("prefixItems", None) is not None and made.get("items") is False:  # nothing behind those of the prefix
        del made["items"]
    if "const" in made and "type" not in made:  # decoders want to know the type first
        made["type"] = _TYPES.get(type(made["const"]), "null")
    return made


def _plain_value(key: str, value: Any) -> Any:
    if key in VALUES:
        return value
    if key in NAMED and isinstance(value, dict):
        return {name: plain_schema(entry) for name, entry in value.items()}
    return plain_schema(value)
