"""The jobs asked for lately, so that a status poll reads no disk."""

from __future__ import annotations

from collections import OrderedDict

from gateway.jobs.model import Job


class Recent:
    """The last `size` jobs used. A record read from the disk is kept only if the job did not change meanwhile."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._reading: dict[str, object] = {}

    def get(self, job_id: str) -> Job | None:
        job = self._jobs.get(job_id)
        if job is not None:
            self._jobs.move_to_end(job_id)
        return job

    def put(self, job: Job) -> None:
        """Keep the job as it is now."""
        self._reading.pop(job.id, None)
        self._jobs[job.id] = job
        self._jobs.move_to_end(job.id)
        if len(self._jobs) > self._size:
            self._jobs.popitem(last=False)

    def drop(self, job_id: str) -> None:
        self._reading.pop(job_id, None)
        self._jobs.pop(job_id, None)

    def begin_read(self, job_id: str) -> object:
        """Note that the job is being read; give what this returns to `end_read`."""
        return self._reading.setdefault(job_id, object())

    def end_read(self, token: object, job_id: str, job: Job | None) -> None:
        if self._reading.get(job_id) is token:
            del self._reading[job_id]
            if job is not None:
                self.put(job)
