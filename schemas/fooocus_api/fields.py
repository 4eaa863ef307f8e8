"""Field types of Fooocus-API's bodies: its spellings of "not set", sizes and names."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from schemas.enums import Sampler, Scheduler
from schemas.fields import RealNumber, WholeNumber, parse_size

UNSET = -1
"""How Fooocus-API says "not given" for a number."""

MAX_NAME = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")

Share = Annotated[float, Field(ge=0, le=1), RealNumber]
ShareOrUnset = Annotated[float, Field(ge=UNSET, le=1), RealNumber]
Factor = Annotated[float, Field(ge=0.1, le=3), RealNumber]
SideOrUnset = Annotated[int, Field(ge=UNSET, le=2048), WholeNumber]
Distance = Annotated[int, Field(ge=UNSET, le=2048), WholeNumber]
Threshold = Annotated[int, Field(ge=1, le=255), WholeNumber]


def _check_size(text: str) -> str:
    width, height = parse_size(text)
    return f"{width}*{height}"


def file_stem(text: str) -> str:
    """`text` as a safe file name without suffix: other characters than A-Z a-z 0-9 _ - become one `_`, at most 64."""
    return _UNSAFE.sub("_", text.strip()).strip("_")[:MAX_NAME]


def _default_for(name: str) -> BeforeValidator:
    """Fooocus-API's document names two defaults by the constants of the original's code; clients copy them."""

    def replace(value: Any) -> Any:
        return None if value == name else value

    return BeforeValidator(replace)


def _known_style(text: str) -> str:
    if not text.strip() or len(text) > 200:
        raise PydanticCustomError("string_type", "Input should be the name of a style")
    return text.strip()


def _step_or_share(value: int | float) -> int | float:
    if isinstance(value, int) or value <= 1:
        return value
    if not value.is_integer():
        raise PydanticCustomError("int_from_float", "Input should be a step, or a share of the steps from 0 to 1")
    return int(value)


SwitchAt = Annotated[int | float, Field(ge=UNSET, le=200), AfterValidator(_step_or_share), RealNumber]
AspectRatio = Annotated[str, AfterValidator(_check_size)]
"""`W*H`; `x` and `×` are taken for `*`. Multiples of 8, 64..2048."""

FileStem = Annotated[str, AfterValidator(file_stem)]
SamplerName = Annotated[Sampler | None, _default_for("default_sampler")]
SchedulerName = Annotated[Scheduler | None, _default_for("default_scheduler")]
StyleName = Annotated[str, AfterValidator(_known_style)]
