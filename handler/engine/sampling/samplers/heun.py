"""Heun's method and its extension to three slopes."""

from __future__ import annotations

from torch import Tensor

from handler.engine.sampling.samplers.run import Run, add_noise, toward


def heun(x: Tensor, run: Run) -> Tensor:
    """Karras et al. 2022, algorithm 1."""
    for step, sigma, sigma_next in run.levels():
        x = heun_step(x, run.predict(step, x, sigma), run, sigma, sigma_next)
    return x


def heunpp2(x: Tensor, run: Run) -> Tensor:
    """Heun++: up to three slopes per step, weighted by their noise levels relative to the first one."""
    top = run.sigmas[0]
    for step, sigma, sigma_next in run.levels():
        slopes = [_slope(x, run.predict(step, x, sigma), sigma)]
        ahead = [level for level in run.sigmas[step + 1 : step + 3] if level > 0]
        probe, level = x, sigma
        for following in ahead:
            probe = probe + slopes[-1] * (following - level)
            slopes.append(_slope(probe, run.denoise(probe, following), following))
            level = following
        weights = [following / (len(slopes) * top) for following in ahead]
        mean = slopes[0] * (1.0 - sum(weights))
        for slope, weight in zip(slopes[1:], weights, strict=True):
            mean = add_noise(mean, slope, weight)
        x = x + mean * (sigma_next - sigma)
    return x


def heun_step(x: Tensor, denoised: Tensor, run: Run, sigma: float, sigma_next: float) -> Tensor:
    """By the mean of the slopes at both ends; Euler's step where the way ends at 0."""
    ahead = toward(x, denoised, sigma, sigma_next)
    if sigma_next == 0:
        return ahead
    slopes = _slope(x, denoised, sigma) + _slope(ahead, run.denoise(ahead, sigma_next), sigma_next)
    return x + slopes * (0.5 * (sigma_next - sigma))


def _slope(x: Tensor, denoised: Tensor, sigma: float) -> Tensor:
    return (x - denoised) / sigma
