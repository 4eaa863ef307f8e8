"""`python -m schemas` prints the JSON schema of every request and result: docs and doors share one truth."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from schemas.request import REQUESTS
from schemas.result import DescribeResult, GenerationResult


def json_schemas() -> dict[str, Any]:
    """Schemas by name: the endpoints (`fal-ai/fooocus`, `fal-ai/fooocus/inpaint`, …), and the results."""
    schemas: dict[str, Any] = {}
    for endpoint, model in REQUESTS.items():
        name = f"fal-ai/fooocus/{endpoint}" if endpoint else "fal-ai/fooocus"
        schemas[name] = TypeAdapter(model).json_schema()
    schemas["GenerationResult"] = GenerationResult.model_json_schema(mode="serialization")
    schemas["DescribeResult"] = DescribeResult.model_json_schema(mode="serialization")
    return schemas


if __name__ == "__main__":
    print(json.dumps(json_schemas(), indent=2, ensure_ascii=False))
