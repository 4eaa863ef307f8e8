"""Refiner."""

from __future__ import annotations

from benchmarks.parity.kind import Kind, not_built

KINDS = (Kind(lambda case: True, not_built),)
