"""How the generating endpoints show in `/docs`: the request bodies are read by hand, so they are described by hand."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from gateway.doors.schemas import inlined_schema
from schemas.fooocus_api.requests import CommonRequest, InpaintFields, UpscaleVaryRequest, WithImagePrompts

_FILE = {"type": "string", "format": "binary"}
_SLOT_TYPES = ["ImagePrompt", "FaceSwap", "PyraCanny", "CPDS"]


def json_docs(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI fragment of a JSON body."""
    return _body("application/json", inlined_schema(model))


def form_docs(model: type[CommonRequest]) -> dict[str, Any]:
    """The OpenAPI fragment of a multipart form: files for pictures, text for lists and objects."""
    schema = inlined_schema(model)
    fields = dict(schema["properties"])
    for name in ("loras", "advanced_params"):
        fields[name] = {"type": "string", "description": "JSON text"}
    for name in ("style_selections", "outpaint_selections"):
        if name in fields:
            fields[name] = {"type": "array", "items": {"type": "string"}, "description": "Repeated, or with commas"}
    if issubclass(model, InpaintFields | UpscaleVaryRequest):
        fields |= {name: _FILE for name in ("input_image", "input_mask") if name in fields}
    if issubclass(model, WithImagePrompts):
        del fields["image_prompts"]
        for slot in range(1, 5):
            fields |= {
                f"cn_img{slot}": _FILE,
                f"cn_stop{slot}": {"type": "number", "minimum": 0, "maximum": 1},
                f"cn_weight{slot}": {"type": "number", "minimum": 0, "maximum": 2},
                f"cn_type{slot}": {"type": "string", "enum": _SLOT_TYPES},
            }
    return _body("multipart/form-data", {**schema, "properties": fields})


def _body(media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {media_type: {"schema": schema}}}}
