"""Crashes and power cuts lose nothing that was accepted and change no outcome; the harness sees planted bugs that do.

`make crash` runs the same for longer.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.gateway.crash.full import full_disk
from tests.gateway.crash.kill import kill_9
from tests.gateway.crash.power import possible, power_cuts
from tests.gateway.crash.whole import kill_all


@pytest.fixture(scope="module")
def mounts() -> None:
    """Needs loop mounts; without them the power-cut tests are skipped, except in CI."""
    reason = possible()
    if reason is not None and not os.environ.get("CI"):
        pytest.skip(f"power cuts cannot be simulated: {reason}")
    assert reason is None


@pytest.fixture
def seed() -> int:
    seed = random.SystemRandom().getrandbits(32)
    print("seed", seed)
    return seed


def test_kill_9_loses_nothing(tmp_path: Path, seed: int) -> None:
    report = asyncio.run(kill_9(tmp_path, 4, seed, accepted=21, results=6))
    assert report.breaches == []
    assert report.accepted > 20
    assert report.results > 5


@pytest.mark.parametrize(("bug", "longest_s"), [("acknowledge-before-commit", 0.6), ("no-fencing", 2.5)])
def test_kill_9_sees_planted_bugs(tmp_path: Path, seed: int, bug: str, longest_s: float) -> None:
    report = asyncio.run(kill_9(tmp_path, 60, seed, bug, longest_s=longest_s, until_breached=True))
    assert report.breaches != []


def test_kill_9_of_gateway_and_workers_is_not_noticed_over_http(tmp_path: Path, seed: int) -> None:
    """Every accepted request ends, after three tries at most, told of once, its picture whole."""
    report = asyncio.run(kill_all(tmp_path, 6, seed))
    assert report.breaches == []
    assert report.accepted > 6
    assert report.results > 5


@pytest.mark.usefixtures("mounts")
def test_a_power_cut_loses_nothing(seed: int) -> None:
    report = power_cuts(2, seed)
    assert report.breaches == []
    assert report.accepted > 20
    assert report.pictures > 0


@pytest.mark.usefixtures("mounts")
def test_a_power_cut_sees_a_store_that_does_not_sync(seed: int) -> None:
    """At one of twelve cuts: a disk may have written everything just before one."""
    assert any(power_cuts(1, seed + cut, "synchronous-normal").lost() for cut in range(12))


@pytest.mark.usefixtures("mounts")
def test_a_power_cut_sees_pictures_that_are_not_synced(seed: int) -> None:
    assert any(power_cuts(1, seed + cut, "files-not-synced").breaches for cut in range(12))


@pytest.mark.usefixtures("mounts")
def test_a_full_disk_loses_nothing() -> None:
    full_disk()
