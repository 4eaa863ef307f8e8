"""The kinds of weight changes in LoRA files, and what each adds to a weight.

A weight is seen as a matrix [out, in * kernel height * kernel width]. All arithmetic is float32; `delta` returns
the change at strength 1 in the weight's shape. Formulas: LyCORIS (https://arxiv.org/abs/2309.14859), GLoRA
(https://arxiv.org/abs/2306.07967).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Protocol

import torch
from torch import Tensor

Size = tuple[int, int]
"""Rows and columns of a weight as a matrix."""


class Adapter(Protocol):
    """One change of one weight."""

    @property
    def size(self) -> Size:
        """The size of the weights it fits."""

    def delta(self, weight: Tensor) -> Tensor:
        """What strength 1 adds to `weight` (float32, of a size it fits), on the weight's device."""


def matrix_size(shape: tuple[int, ...]) -> Size:
    """How a weight of this shape is seen."""
    return (shape[0], prod(shape[1:])) if shape else (1, 1)


def _kernel(tensor: Tensor | None) -> int:
    """Height times width of the kernel of a 4-dimensional tensor; 1 for a matrix or none."""
    return prod(tensor.shape[2:]) if tensor is not None else 1


@dataclass(frozen=True)
class LowRank:
    """LoRA: up @ down; with `mid` a Tucker decomposition of a convolution.

    up: [out, r] or [out, r, 1, 1]; down: [r, in] or [r, in, kh, kw]; mid: [r, r, kh, kw] and then down [r, in, 1, 1].
    """

    up: Tensor
    down: Tensor
    mid: Tensor | None
    alpha: float | None

    @property
    def size(self) -> Size:
        return self.up.shape[0], matrix_size(tuple(self.down.shape))[1] * _kernel(self.mid)

    def delta(self, weight: Tensor) -> Tensor:
        up, down = (part.to(weight).flatten(1) for part in (self.up, self.down))
        mid = None if self.mid is None else self.mid.to(weight)
        change = up @ down if mid is None else torch.einsum("or,rshw,si->oihw", up, mid, down)
        return change.reshape(weight.shape) * _scale(self.alpha, self.down.shape[0])


@dataclass(frozen=True)
class Hadamard:
    """LoHa: the elementwise product of two low-rank matrices, (w1_a @ w1_b) * (w2_a @ w2_b).

    w_a: [out, r], w_b: [r, in * kh * kw]; with cores t1, t2 [r, r, kh, kw]: w_a [r, out], w_b [r, in].
    """

    w1_a: Tensor
    w1_b: Tensor
    w2_a: Tensor
    w2_b: Tensor
    t1: Tensor | None
    t2: Tensor | None
    alpha: float | None

    @property
    def size(self) -> Size:
        rows = self.w1_a.shape[0 if self.t1 is None else 1]
        return rows, self.w1_b.shape[1] * _kernel(self.t1)

    def delta(self, weight: Tensor) -> Tensor:
        first = _factor(self.w1_a.to(weight), self.w1_b.to(weight), self.t1)
        second = _factor(self.w2_a.to(weight), self.w2_b.to(weight), self.t2)
        return (first * second).reshape(weight.shape) * _scale(self.alpha, self.w1_b.shape[0])


def _factor(a: Tensor, b: Tensor, core: Tensor | None) -> Tensor:
    if core is None:
        return a @ b
    return torch.einsum("rshw,si,ro->oihw", core.to(a), b, a)


@dataclass(frozen=True)
class Kronecker:
    """LoKr: the Kronecker product of w1 and w2, each whole or as a product of two factors.

    w1: [o1, i1]; w2: [o2, i2] or [o2, i2, kh, kw]. `rank` is that of a factorised part; whole ones have none, and
    then alpha means nothing.
    """

    w1: tuple[Tensor, ...]
    w2: tuple[Tensor, ...]
    core: Tensor | None
    rank: int | None
    alpha: float | None

    @property
    def size(self) -> Size:
        (o1, i1), (o2, i2) = _product_size(self.w1, None), _product_size(self.w2, self.core)
        return o1 * o2, i1 * i2

    def delta(self, weight: Tensor) -> Tensor:
        w1, w2 = _product(self.w1, None, weight), _product(self.w2, self.core, weight)
        while w1.ndim < w2.ndim:
            w1 = w1.unsqueeze(-1)
        change = torch.kron(w1, w2.contiguous()).reshape(weight.shape)
        return change if self.rank is None else change * _scale(self.alpha, self.rank)


def _product_size(parts: tuple[Tensor, ...], core: Tensor | None) -> Size:
    if len(parts) == 1:
        return matrix_size(tuple(parts[0].shape))
    a, b = parts
    return a.shape[0 if core is None else 1], matrix_size(tuple(b.shape))[1] * _kernel(core)


def _product(parts: tuple[Tensor, ...], core: Tensor | None, like: Tensor) -> Tensor:
    if len(parts) == 1:
        return parts[0].to(like)
    return _factor(parts[0].to(like), parts[1].to(like), core)


@dataclass(frozen=True)
class Generalised:
    """GLoRA: b2 @ b1 + W @ (a2 @ a1).

    a1: [r, in], a2: [in, r], b1: [r, in], b2: [out, r].
    """

    a1: Tensor
    a2: Tensor
    b1: Tensor
    b2: Tensor
    alpha: float | None

    @property
    def size(self) -> Size:
        return self.b2.shape[0], matrix_size(tuple(self.b1.shape))[1]

    def delta(self, weight: Tensor) -> Tensor:
        a1, a2, b1, b2 = (part.to(weight).flatten(1) for part in (self.a1, self.a2, self.b1, self.b2))
        change = b2 @ b1 + weight.flatten(1) @ a2 @ a1
        return change.reshape(weight.shape) * _scale(self.alpha, self.a1.shape[0])


@dataclass(frozen=True)
class Difference:
    """A full difference of the weight's or bias's own shape."""

    value: Tensor

    @property
    def size(self) -> Size:
        return matrix_size(tuple(self.value.shape))

    def delta(self, weight: Tensor) -> Tensor:
        return self.value.to(weight).reshape(weight.shape)


def _scale(alpha: float | None, rank: int) -> float:
    return 1.0 if alpha is None else alpha / rank


Parts = Mapping[str, Tensor]
"""The tensors of one layer in a file, by role."""


def _low_rank(parts: Parts, alpha: float | None) -> Adapter:
    return LowRank(parts["up"], parts["down"], parts.get("mid"), alpha)


def _hadamard(parts: Parts, alpha: float | None) -> Adapter:
    factors = (parts["hada_w1_a"], parts["hada_w1_b"], parts["hada_w2_a"], parts["hada_w2_b"])
    return Hadamard(*factors, parts.get("hada_t1"), parts.get("hada_t2"), alpha)


def _kronecker(parts: Parts, alpha: float | None) -> Adapter:
    w1 = (parts["lokr_w1"],) if "lokr_w1" in parts else (parts["lokr_w1_a"], parts["lokr_w1_b"])
    w2 = (parts["lokr_w2"],) if "lokr_w2" in parts else (parts["lokr_w2_a"], parts["lokr_w2_b"])
    factorised = [part[1] for part in (w2, w1) if len(part) == 2]
    rank = factorised[0].shape[0] if factorised else None
    return Kronecker(w1, w2, parts.get("lokr_t2"), rank, alpha)


def _generalised(parts: Parts, alpha: float | None) -> Adapter:
    return Generalised(parts["a1"], parts["a2"], parts["b1"], parts["b2"], alpha)


def _difference(parts: Parts, alpha: float | None) -> Adapter:
    return Difference(parts["diff"])


FAMILIES = {
    _low_rank: ("up", "down", "mid"),
    _hadamard: ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    _kronecker: ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"),
    _generalised: ("a1", "a2", "b1", "b2"),
    _difference: ("diff",),
}
"""The roles each kind is made of."""


def weight_adapter(parts: Parts, alpha: float | None) -> tuple[Adapter, set[str]] | None:
    """The change of a layer's weight, and the roles it was made of; None when the parts make none."""
    for make, roles in FAMILIES.items():
        try:
            return make(parts, alpha), parts.keys() & roles
        except (KeyError, IndexError):
            continue
    return None


def fits(adapter: Adapter, weight: Tensor) -> bool:
    """Whether the adapter is for a weight of this shape."""
    try:
        return adapter.size == matrix_size(tuple(weight.shape))
    except IndexError:
        return False
