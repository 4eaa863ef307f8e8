"""The long run: `python -m tests.gateway.crash [--kills 300] [--whole 200] [--cuts 60] [--seed N]` prints a line for
each kind of crash, then for each planted bug, and fails when the real thing breached or a planted bug went unseen."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.gateway.crash.kill import kill_9
from tests.gateway.crash.power import possible, power_cuts
from tests.gateway.crash.report import Report
from tests.gateway.crash.whole import kill_all, planted

ROUND = 25
"""Crashes one store goes through."""
SEEN_BY_CUTS = ("synchronous-normal", "acknowledge-before-commit", "files-not-synced")


def rounds(total: int) -> Iterator[int]:
    while total > 0:
        yield min(total, ROUND)
        total -= ROUND


def kills(crashes: int, rng: random.Random, bug: str = "none", longest_s: float = 0.6) -> Report:
    """kill -9, with a fresh store every `ROUND` crashes."""
    whole = Report("kill -9", bug)
    for count in rounds(crashes):
        with tempfile.TemporaryDirectory() as folder:
            found = kill_9(Path(folder), count, rng.getrandbits(32), bug, longest_s=longest_s)
            whole.merge(asyncio.run(found))
    return whole


def wholes(crashes: int, rng: random.Random, bug: str = "none") -> Report:
    """kill -9 of gateways and workers over HTTP, likewise in rounds."""
    whole = Report("kill -9 all", bug)
    for count in rounds(crashes):
        with tempfile.TemporaryDirectory() as folder:
            seed = rng.getrandbits(32)
            found = kill_all(Path(folder), count, seed) if bug == "none" else planted(Path(folder), count, seed, bug)
            whole.merge(asyncio.run(found))
    return whole


def cuts(count: int, rng: random.Random, bug: str = "none") -> Report:
    """Power cuts, in rounds."""
    whole = Report("power cut", bug)
    for part in rounds(count):
        whole.merge(power_cuts(part, rng.getrandbits(32), bug))
    return whole


def show(report: Report) -> Report:
    print(report.line(), flush=True)
    if report.bug == "none":
        for breach in report.breaches[:20]:
            print("   ", breach)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.crash", description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--whole", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().getrandbits(32))
    options = parser.parse_args()
    rng, reason = random.Random(options.seed), possible()
    print("seed", options.seed, flush=True)
    real = [show(kills(options.kills, rng)), show(wholes(options.whole, rng))]
    bad = [show(kills(10, rng, "acknowledge-before-commit")), show(kills(6, rng, "no-fencing", 2.5))]
    bad += [show(wholes(10, rng, "acknowledge-before-commit"))]
    if reason is None:
        real.append(show(cuts(options.cuts, rng)))
        bad += [show(cuts(5, rng, bug)) for bug in SEEN_BY_CUTS]
    else:
        print("no power cuts:", reason)
    return 0 if not any(report.breaches for report in real) and all(report.breaches for report in bad) else 1


if __name__ == "__main__":
    sys.exit(main())
