"""Multipart forms as the JSON they stand for: text to lists and objects, files to data URIs.

Absent and empty are told apart as Fooocus-API does: an empty text is a value for texts and style lists (no styles),
and "not given" for everything else.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from gateway.bodies import parse_json
from gateway.doors.fooocus_api.images import data_uri
from gateway.doors.fooocus_api.locations import Sent
from schemas.errors import BadRequest, FieldError

MAX_FILES = 8
MAX_FIELDS = 200
MAX_PART = 32 * 2**20
"""Largest field that is no file, bytes: pictures may come as base64 text too."""

_TEXTS = frozenset(
    {"prompt", "negative_prompt", "inpaint_additional_prompt", "save_name", "base_model_name", "refiner_model_name"}
)
_LISTS = frozenset({"style_selections", "outpaint_selections"})
_OBJECTS = frozenset({"loras", "advanced_params"})
_SLOTS = range(1, 5)
_MAX_LITERAL = 10_000
_TYPES = frozenset({"multipart/form-data", "application/x-www-form-urlencoded"})


async def read_form(request: Request, max_depth: int) -> dict[str, Any]:
    """The body's fields as JSON values; none without a body. max_depth: how deep JSON in a field may nest.

    Raises FieldError naming a field that cannot be read, or the body when it is no form. `request.state.sent` holds
    the names of the fields afterwards.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in _TYPES:
        if await request.body():
            raise FieldError(["body"], message="Input should be a form: multipart/form-data")
        return {}
    try:
        form = await request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_PART)
    except HTTPException:
        raise FieldError(["body"], message="Input should be a valid multipart form") from None
    request.state.sent = Sent(form=frozenset(form))
    try:
        return await _fields(form, max_depth)
    finally:
        await form.close()


async def _fields(form: FormData, max_depth: int) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in form:
        value = await _value(name, form.getlist(name), max_depth)
        if value is not None:
            fields[name] = value
    prompts = _image_prompts(fields)
    return fields | ({"image_prompts": prompts} if prompts else {})


async def _value(name: str, values: Sequence[Any], max_depth: int) -> Any:
    parse = partial(_object, name, max_depth=max_depth)
    if name == "image_prompts":
        return _settings([parse(text) for text in values if isinstance(text, str) and text.strip()])
    last = values[-1]
    if isinstance(last, UploadFile):
        return await _uploaded(name, last)
    if name in _LISTS:
        return _list([text for text in values if isinstance(text, str)], parse)
    if name in _OBJECTS:
        return parse(last) if last.strip() else None
    return last if last.strip() or name in _TEXTS else None


async def _uploaded(name: str, file: UploadFile) -> str | None:
    data = await file.read()
    return data_uri(data, ["body", name]) if data else None


def _list(texts: Sequence[str], parse: Callable[[str], Any]) -> list[str]:
    """Repeated fields and comma-separated text, in any mix; a JSON list too."""
    if len(texts) == 1 and texts[0].lstrip().startswith("["):
        value = parse(texts[0])
        if isinstance(value, list):
            return value
    return [item.strip() for text in texts for item in text.split(",") if item.strip()]


def _object(name: str, text: str, max_depth: int) -> Any:
    """JSON, or what Python's `str()` makes of a dict: clients that pass a list of dicts to `requests` send that."""
    for written in (_as_it_is, _literal):
        try:
            return parse_json(written(text).encode(), max_depth)
        except (BadRequest, ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
    raise FieldError(["body", name], input=text, message="Input should be valid JSON")


def _as_it_is(text: str) -> str:
    return text


def _literal(text: str) -> str:
    """A Python literal as JSON, so that it meets the same limits."""
    if len(text) > _MAX_LITERAL:
        raise ValueError
    return json.dumps(ast.literal_eval(text))


def _settings(listed: list[Any]) -> list[dict[str, Any]]:
    """What `image_prompts` says, once as a list or a dict at a time."""
    if len(listed) == 1 and isinstance(listed[0], list):
        listed = listed[0]
    if not all(isinstance(item, dict) for item in listed):
        raise FieldError(["body", "image_prompts"], input=listed, message="Input should be a list of objects")
    return listed


def _image_prompts(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """`cn_img1..4` with their settings; settings in `image_prompts`, in the same order, count where the slot's own
    are not given."""
    listed = fields.pop("image_prompts", [])
    prompts = []
    for number in _SLOTS:
        beside = listed[number - 1] if number <= len(listed) else {}
        names = ("img", "stop", "weight", "type")
        own = {f"cn_{name}": fields.pop(f"cn_{name}{number}", None) for name in names}
        prompts.append(beside | {name: value for name, value in own.items() if value is not None})
    while prompts and not prompts[-1].get("cn_img"):
        prompts.pop()
    return prompts
