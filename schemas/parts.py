"""Objects nested in requests and results: fal's LoraWeight, ImagePrompt and Image."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.enums import ControlType
from schemas.fields import ImageSource, RealNumber, WholeNumber


class Part(BaseModel):
    """Frozen; unknown keys are ignored and an explicit null means "not given", both as fal does."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def drop_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


class LoraWeight(Part):
    """A LoRA file and its scale, fal's range 0..1."""

    path: Annotated[str, Field(min_length=1, description="URL or the path to the LoRA weights.")]
    scale: Annotated[float, Field(ge=0, le=1), RealNumber] = 0.1


class AdvancedLora(Part):
    """A LoRA file and its scale in Fooocus's wider range."""

    path: Annotated[str, Field(min_length=1)]
    scale: Annotated[float, Field(ge=-10, le=10), RealNumber] = 0.5


class ImagePrompt(Part):
    """One control slot. A slot without `image_url` is legal and unused."""

    type: ControlType = ControlType.IMAGE_PROMPT
    image_url: ImageSource | None = None
    stop_at: Annotated[float, Field(ge=0, le=1), RealNumber] = 0.5
    weight: Annotated[float, Field(ge=0, le=2), RealNumber] = 1.0


class FreeU(Part):
    """FreeU version 2; off unless given."""

    b1: Annotated[float, Field(ge=0, le=2), RealNumber] = 1.01
    b2: Annotated[float, Field(ge=0, le=2), RealNumber] = 1.02
    s1: Annotated[float, Field(ge=0, le=4), RealNumber] = 0.99
    s2: Annotated[float, Field(ge=0, le=4), RealNumber] = 0.95


class OutpaintDistances(Part):
    """Pixels to add per side; 0 leaves a side alone."""

    left: Annotated[int, Field(ge=0, le=2048), WholeNumber] = 0
    right: Annotated[int, Field(ge=0, le=2048), WholeNumber] = 0
    top: Annotated[int, Field(ge=0, le=2048), WholeNumber] = 0
    bottom: Annotated[int, Field(ge=0, le=2048), WholeNumber] = 0


class Image(Part):
    """A result picture. `file_size` in bytes, `width` and `height` in pixels."""

    url: str
    content_type: str
    file_name: str
    file_size: int
    width: int
    height: int
