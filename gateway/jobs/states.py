"""The states of a job and every way from one to another. Nothing else decides what may follow what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from gateway.jobs.model import State

MOVES: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.QUEUED, State.COMPLETED, State.FAILED, State.CANCELLED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset(),
}
"""What may follow each state: started, start deadline over, cancelled; worker lost, done; and, on request, retried."""

QUEUED = frozenset({State.QUEUED})
RUNNING = frozenset({State.RUNNING})
LIVE = QUEUED | RUNNING
FINAL = frozenset(State) - LIVE


@cache
def sources(target: State, among: frozenset[State] = frozenset(State)) -> str:
    """The states, of those in `among`, from which a job may go to `target`: a JSON list for SQL's `json_each`."""
    return json.dumps(sorted(state for state in among if target in MOVES[state]))
