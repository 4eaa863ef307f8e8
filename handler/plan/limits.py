"""The sizes of pictures that can be worked with."""

from __future__ import annotations

from schemas.errors import FieldError, ImageTooLarge, ImageTooSmall, Location

SMALLEST_SIDE = 32
LARGEST_SIDE = 8192
LARGEST_AREA = 16_800_000
LARGEST_RATIO = 16


def check_given(height: int, width: int, loc: Location) -> None:
    """Raise InvalidInput for a picture that cannot be brought to a size to sample, in pixels."""
    if min(height, width) < SMALLEST_SIDE:
        raise ImageTooSmall(loc, min_width=SMALLEST_SIDE, min_height=SMALLEST_SIDE)
    if max(height, width) > LARGEST_RATIO * min(height, width):
        message = f"One side of the image is more than {LARGEST_RATIO} times as long as the other: {width}x{height}"
        raise FieldError(loc, message=message)


def check_result(height: int, width: int, loc: Location) -> None:
    """Raise ImageTooLarge for a picture that would be too large to make, in pixels."""
    if max(height, width) > LARGEST_SIDE or height * width > LARGEST_AREA:
        limits = {"max_width": LARGEST_SIDE, "max_height": LARGEST_SIDE, "max_pixels": LARGEST_AREA}
        message = (
            f"The result would have {width}x{height} pixels: "
            f"at most {LARGEST_SIDE}x{LARGEST_SIDE} and {LARGEST_AREA} pixels can be made"
        )
        raise ImageTooLarge(loc, message=message, **limits)
