"""The queue's limits and periods, as the operator sets them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Defaults of what a `NewJob` leaves open, and the bounds of the queue.

    max_queued: jobs that may wait. max_attempts: hand-outs after which a job whose workers died fails. lease_s: a
    worker silent for this long loses its jobs. result_ttl_s, file_ttl_s: how long records and files are kept after
    the end. log_lines: lines kept of one job's log.
    """

    max_queued: int = 10_000
    max_attempts: int = 3
    lease_s: float = 30
    execution_timeout_s: float = 600
    result_ttl_s: float = 24 * 3600
    file_ttl_s: float = 24 * 3600
    log_lines: int = 1000
