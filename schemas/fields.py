"""Annotated field types shared by every request model."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

MAX_SEED = 2**63 - 1
"""Largest seed of Fooocus; larger ones wrap around."""

MIN_SIDE = 64
MAX_SIDE = 2048
"""Smallest and largest width or height (pixels) of a generated picture, as on Fooocus's sliders."""

MAX_TEXT = 32_768
"""Longest prompt, in characters."""

_SIZE = re.compile(r"\s*(\d{1,5})\s*[x×*]\s*(\d{1,5})\s*", re.IGNORECASE)


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of "1152x896"; `×` and `*` (Fooocus's own spellings) serve as x too.

    Raises PydanticCustomError naming what is wrong: form, multiple of 8, or bounds.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise PydanticCustomError("size_parsing", "Input should be a size such as 1024x1024")
    sides = int(match[1]), int(match[2])
    for side in sides:
        if side % 8:
            raise PydanticCustomError(
                "multiple_of", "Width and height should be multiples of {multiple_of}", {"multiple_of": 8}
            )
        if side < MIN_SIDE:
            raise PydanticCustomError(
                "greater_than_equal", "Width and height should be at least {ge}", {"ge": MIN_SIDE}
            )
        if side > MAX_SIDE:
            raise PydanticCustomError(
                "less_than_equal", "Width and height should be at most {le}", {"le": MAX_SIDE}
            )
    return sides


def _check_size(text: str) -> str:
    parse_size(text)
    return text


def _no_bool(kind: str, message: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if isinstance(value, bool):
            raise PydanticCustomError(kind, message)
        return value

    return check


def _one_line(text: str) -> str:
    if "\x00" in text:
        raise PydanticCustomError("string_type", "Input should not contain NUL characters")
    return text


def _unique(items: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(items)) != len(items):
        raise PydanticCustomError("unique_items", "List should have unique items")
    return items


WholeNumber = BeforeValidator(_no_bool("int_type", "Input should be a valid integer"))
"""Marks an int: JSON booleans are refused, which pydantic alone would take for 0 and 1.

It stands last in `Annotated`, so that the bounds before it reach the JSON schema.
"""

RealNumber = BeforeValidator(_no_bool("float_type", "Input should be a valid number"))
"""Marks a float; JSON booleans are refused."""

Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_one_line)]

AspectRatio = Annotated[str, AfterValidator(_check_size)]
"""Free "WxH" text, both multiples of 8, MIN_SIDE..MAX_SIDE pixels."""

Unique = AfterValidator(_unique)

ImageSource = Annotated[str, AfterValidator(_one_line)]
"""A URL or a `data:` URI of a picture."""
