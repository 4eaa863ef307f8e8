"""JSON schemas for descriptions of bodies that are read by hand."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def inlined_schema(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema with its parts written out in place: a fragment of OpenAPI has no place for definitions."""
    schema = model.model_json_schema()
    return _inlined(schema, schema.pop("$defs", {}))


def _inlined(node: Any, parts: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, parts) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        part = _inlined(parts[node["$ref"].rsplit("/", 1)[1]], parts)
        return {**part, **{key: value for key, value in node.items() if key != "$ref"}}
    return {key: _inlined(value, parts) for key, value in node.items()}
