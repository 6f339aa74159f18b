"""Pure. JSON Schemas for the OpenAPI document, read off the examples: what an answer has, and of which type.

An example is thereby a promise: the answers of a route have every key of its example, with the type shown there. In the
other faces, whose answers leave out what does not apply, only the types are promised.
"""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

ERROR_ENTRY: Schema = {
    "type": "object",
    "required": ["status", "code", "message"],
    "properties": {"status": {"const": False}, "code": {"type": "integer"}, "message": {"type": "string"}},
}
STATUS: Schema = {
    "type": "object",
    "required": ["success", "code", "message"],
    "properties": {"success": {"enum": ["true", "false"]}, "code": {"type": "integer"}, "message": {"type": "string"}},
}
#: What a refusal looks like in each envelope (`contracts/capillary.md` 1.4); a v1.1 answer is told by its status.
REFUSALS: Mapping[str, Schema] = {
    "v1": {
        "type": "object",
        "required": ["response"],
        "properties": {"response": {"type": "object", "required": ["status"], "properties": {"status": STATUS}}},
    },
    "v2": {
        "type": "object",
        "required": ["warnings", "errors"],
        "properties": {"warnings": {"type": "array"}, "errors": {"type": "array", "items": ERROR_ENTRY, "minItems": 1}},
    },
    "v3": {
        "type": "object",
        "required": ["data", "errors", "warnings"],
        "properties": {"data": {"type": "null"}, "errors": {"type": "array", "items": ERROR_ENTRY, "minItems": 1}},
    },
    "own": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}
        },
    },
}


def answered(envelope: str, example: object, *, whole: bool) -> Schema:
    """Return the schema of a success; in v1.1 a refusal is one too, by its HTTP status."""
    return REFUSALS["v1"] if envelope == "v1" else shape(example, whole=whole)


def shape(example: object, *, whole: bool = True) -> Schema:
    """Return the schema of values like the example; null stands for anything. `whole`: every key must be there."""
    match example:
        case dict():
            schema: Schema = {
                "type": "object",
                "properties": {name: shape(value, whole=whole) for name, value in example.items()},
            }
            return {**schema, "required": list(example)} if whole and example else schema
        case list():
            kinds = [shape(value, whole=whole) for value in example]
            return {"type": "array", "items": {"anyOf": kinds}} if kinds else {"type": "array"}
        case bool():
            return {"type": "boolean"}
        case int() | float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
        case _:
            return {}
