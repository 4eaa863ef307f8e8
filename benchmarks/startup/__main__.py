"""`python -m benchmarks.startup`: start-up timelines of the worker and of plain diffusers, taken in turns.

The checkpoint is the worker's own: `FOOOCUS_CHECKPOINT`, or the demo model. The worker does more in its time: safety
checker, preview decoder, prompt expansion and styles. Of `--runs` it shows the quickest by processor time, which other
programs disturb less than the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

Rows = list[Mapping[str, Any]]

OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def measure(module: str, *arguments: str) -> Rows:
    """The timeline of a new process. CalledProcessError when it fails."""
    command = [sys.executable, "-m", f"benchmarks.startup.{module}", *arguments]
    done = subprocess.run(command, env=os.environ | OFFLINE, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def total(rows: Rows, key: str) -> float:
    return sum(row[key] for row in rows)


def table(title: str, rows: Rows) -> str:
    """One line for each phase, and their sum."""
    whole = {key: total(rows, key) for key in ("seconds", "cpu_seconds", "read_bytes")}
    lines = [f"{title:<24}{'seconds':>10}{'cpu s':>10}{'bytes read':>16}"]
    for row in (*rows, {"name": "until the first job", **whole}):
        lines.append(
            f"  {row['name']:<22}{row['seconds']:>10.2f}{row['cpu_seconds']:>10.2f}{int(row['read_bytes']):>16,}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--runs", type=int, default=1, help="processes of each kind, in turns")
    runs = parser.parse_args(arguments).runs
    # Its own process: this one stays out of the page cache's and the clock's way.
    where = "from handler.settings import Settings; from handler.models_folders import model_folders; "
    where += "print(model_folders(Settings())[0])"
    found = subprocess.run([sys.executable, "-c", where], env=os.environ | OFFLINE, capture_output=True, text=True)
    if found.returncode:
        print(found.stderr.splitlines()[-1], file=sys.stderr)
        return 2
    pairs = [(measure("worker"), measure("plain", found.stdout.strip())) for _ in range(runs)]
    ours, plain = (min(side, key=lambda rows: total(rows, "cpu_seconds")) for side in zip(*pairs, strict=True))
    print(table("worker", ours), table("plain diffusers", plain), sep="\n\n")
    for key, words in (("seconds", "the clock"), ("cpu_seconds", "processor time")):
        print(f"worker / plain diffusers by {words}: {total(ours, key) / total(plain, key):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
