"""Linear multistep method of order 4 (Adams-Bashforth over uneven steps; k-diffusion)."""

from __future__ import annotations

from collections import deque

from numpy.polynomial import Polynomial
from torch import Tensor

from handler.engine.sampling.samplers.run import Run, add_noise

ORDER = 4


def lms(x: Tensor, run: Run) -> Tensor:
    slopes: deque[Tensor] = deque(maxlen=ORDER)
    for step, sigma, _ in run.levels():
        slopes.appendleft((x - run.predict(step, x, sigma)) / sigma)
        weights = multistep_weights(run.sigmas, step, len(slopes))
        for slope, weight in zip(slopes, weights, strict=True):
            x = add_noise(x, slope, weight)
    return x


def multistep_weights(sigmas: tuple[float, ...], step: int, order: int) -> list[float]:
    """Weights of the last `order` slopes, newest first: the integrals over the step of their Lagrange polynomials."""
    nodes = [sigmas[step - back] for back in range(order)]
    return [_integral(nodes, node, sigmas[step], sigmas[step + 1]) for node in nodes]


def _integral(nodes: list[float], node: float, start: float, end: float) -> float:
    others = [other for other in nodes if other != node]
    basis = Polynomial.fromroots(others) if others else Polynomial([1.0])
    primitive = basis.integ()
    return float((primitive(end) - primitive(start)) / basis(node))
