"""Memory over many jobs: each is submitted, handed out, reported on, logged, watched and finished."""

from __future__ import annotations

import asyncio
import gc
import resource
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import LogLine, NewJob, Progress
from gateway.jobs.store import Store

AT_ONCE = 64
PREVIEW = "data:image/jpeg;base64," + "x" * 20_000


def resident_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


async def life(jobs: Jobs, number: int) -> None:
    """One job from its submission to its end, with someone looking on."""
    wish = {"prompt": f"{number} " + "x" * 600}
    job = await jobs.submit(NewJob(owner=f"owner{number % 7}", door="fal", app="fal-ai/fooocus", input=wish))
    looking = asyncio.create_task(jobs.wait(job.id, 60))
    for lease in await jobs.take("w", 1, 0):
        jobs.log(lease.job.id, LogLine(0, "INFO", "step 1"))
        await jobs.report(lease.id, "w", Progress(1, 1, 1, 30, 0.03, PREVIEW))
        await jobs.finish(lease.id, "w", {"images": [{"url": "https://example.com/" + "x" * 100}]})
    await looking


async def soak(total: int, tell: Callable[[int, float], None]) -> None:
    """Run `total` jobs; `tell(jobs so far, resident MB)` ten times."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        store = Store(Path(folder))
        jobs = Jobs(store)
        await jobs.start()
        numbers = count(1)

        async def one_after_another() -> None:
            while (number := next(numbers)) <= total:
                await life(jobs, number)
                if number % (total // 10) == 0:
                    gc.collect()
                    tell(number, resident_mb())

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
        await jobs.close()
        store.close()


def slope(points: list[tuple[int, float]]) -> float:
    """MB per 1,000 jobs: the least-squares line through (jobs, MB)."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return 1000 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
