"""How pictures lie in memory when a network is given them."""

from __future__ import annotations

from torch import Tensor


def batch_of_one(picture: Tensor) -> Tensor:
    """[h, w, 3] -> the same values as [1, 3, h, w], the colours of a pixel side by side as they were.

    Fooocus gives its networks this layout, and it shows: on a CPU, torch's convolutions and normalisations add up
    float32 in an order that depends on it. The encoder normalises a whole megapixel at once, and its latents move by
    some thousandths of their spread.
    """
    return picture[None].permute(0, 3, 1, 2)
