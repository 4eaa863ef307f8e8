"""What clients of a whole gateway were told over HTTP, and whether it keeps to it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.gateway.webhooks.receivers import Call
from tests.support.paper_worker import PNG

LEASE_S = 12.0
GRACE_S = 20.0
"""How much longer than a lease a job may be in progress without a sign of life."""
MAX_ATTEMPTS = 3
LOST = "worker_lost"


@dataclass
class Told:
    """All acknowledged ids, how each ended, and every breach found so far. Times are monotonic seconds."""

    accepted: set[str] = field(default_factory=set)
    ended: dict[str, str] = field(default_factory=dict)
    """Per id the URL of its picture, empty for a failure."""
    breaches: list[str] = field(default_factory=list)
    _seen: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    """Per running id: the gateway's run, the hand-outs told in the log, and when this was first seen."""

    def open(self) -> list[str]:
        return [job_id for job_id in self.accepted if job_id not in self.ended]

    def status(self, job_id: str, run: int, at: float, code: int, body: dict[str, Any]) -> None:
        """The answer to a question for a job's status. run: how often the gateway has been started."""
        if code == 404:
            self.breach(f"{job_id} was accepted and is lost")
            self.ended[job_id] = ""
        if body.get("status") != "IN_PROGRESS":
            self._seen.pop(job_id, None)
            return
        tries = sum("Started on worker" in line["message"] for line in body["logs"])
        before = self._seen.get(job_id, (run, tries, at))
        self._seen[job_id] = before if before[:2] == (run, tries) else (run, tries, at)
        if at - self._seen[job_id][2] > LEASE_S + GRACE_S:
            self.breach(f"{job_id} is in progress although its lease is over")

    def result(self, job_id: str, code: int, body: dict[str, Any]) -> None:
        """The answer to a question for an ended job's result."""
        if code == 200:
            self.ended[job_id] = body["images"][0]["url"]
        elif body.get("error_type") == LOST:
            self.ended[job_id] = ""
        else:
            self.ended[job_id] = ""
            self.breach(f"{job_id} ended with {code}: {body}")

    def picture(self, job_id: str, code: int, body: bytes) -> None:
        if (code, body) != (200, PNG):
            self.breach(f"the picture of {job_id} is {code} with {len(body)} bytes")

    def webhooks(self, calls: list[Call]) -> None:
        """Every job was told of, under one id each."""
        ids: dict[str, set[str]] = {}
        for call in calls:
            ids.setdefault(json.loads(call.body)["request_id"], set()).add(call.headers["webhook-id"])
        for job_id in self.accepted:
            if len(ids.get(job_id, ())) != 1:
                self.breach(f"{job_id} was told of under {len(ids.get(job_id, ()))} webhook ids")

    def stored(self, data: Path) -> None:
        """What the store of an ended gateway says."""
        with closing(sqlite3.connect(data / "gateway.sqlite3")) as connection:
            rows = connection.execute("SELECT id, state, attempts, strikes, ended_at FROM jobs").fetchall()
        for job_id, state, attempts, strikes, ended_at in rows:
            # A strike is a worker lost; the last one is in the end's place. A hand-out nobody received is none.
            tries = strikes + 1
            if ended_at is None:
                self.breach(f"{job_id} is {state} for ever")
            if tries > MAX_ATTEMPTS or attempts - tries > 1:
                self.breach(f"{job_id} had {tries} tries and {attempts} hand-outs")
            if not self.ended.get(job_id, "no") and (state, tries) != ("failed", MAX_ATTEMPTS):
                self.breach(f"{job_id} is {state} after {tries} tries")

    def breach(self, text: str) -> None:
        if text not in self.breaches:
            self.breaches.append(text)
