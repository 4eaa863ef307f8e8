"""The jobs asked for lately, so that a status poll reads no disk."""

from __future__ import annotations

from collections import OrderedDict

from gateway.jobs.model import Job


class Recent:
    """The jobs used last, up to `capacity` characters of their JSON. A record read from the disk is kept only if the
    job did not change meanwhile."""

    OVERHEAD = 2000
    """Characters a job counts beside its JSON."""

    def __init__(self, capacity: int) -> None:
        self._room = capacity
        self._jobs: OrderedDict[str, tuple[Job, int]] = OrderedDict()
        self._reading: dict[str, object] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, job_id: str) -> Job | None:
        kept = self._jobs.get(job_id)
        if kept is None:
            return None
        self._jobs.move_to_end(job_id)
        return kept[0]

    def put(self, job: Job, size: int) -> None:
        """Keep the job as it is now. size: characters of its JSON."""
        self.drop(job.id)
        cost = size + self.OVERHEAD
        self._jobs[job.id] = job, cost
        self._room -= cost
        while self._room < 0:
            _, (_, freed) = self._jobs.popitem(last=False)
            self._room += freed

    def drop(self, job_id: str) -> None:
        self._reading.pop(job_id, None)
        kept = self._jobs.pop(job_id, None)
        if kept is not None:
            self._room += kept[1]

    def begin_read(self, job_id: str) -> object:
        """Note that the job is being read; give what this returns to `end_read`."""
        return self._reading.setdefault(job_id, object())

    def end_read(self, token: object, job_id: str, job: Job | None, size: int) -> None:
        if self._reading.get(job_id) is token:
            del self._reading[job_id]
            if job is not None:
                self.put(job, size)
