"""The queue against a model of a few lines: any mix of submits, workers, time, cancels and restarts agrees with it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Cancelled, Failure, Lease, State, Webhook
from gateway.jobs.policy import Policy
from gateway.jobs.store import Store
from schemas.errors import IdempotencyConflict, InternalError, QueueFull, RetryRefused
from tests.gateway.jobs.conftest import HandClock, new, pass_time

T = TypeVar("T")

MEMORY = Path("/dev/shm")
POLICY = Policy(max_queued=8, lease_s=10, execution_timeout_s=25, result_ttl_s=1000)
WORKERS = st.sampled_from(["w1", "w2"])


@dataclass
class Known:
    """What the model knows of one job."""

    state: State = State.QUEUED
    attempts: int = 0
    strikes: int = 0
    worker: str | None = None
    lease_left: float = 0
    run_left: float = 0
    outcome: object = None
    ends: int = 0
    key: tuple[str, str] | None = None
    prompt: str = ""

    def end(self, state: State, outcome: object) -> None:
        self.state, self.outcome, self.ends = state, outcome, self.ends + 1

    def lose(self) -> None:
        self.strikes += 1
        if self.strikes >= POLICY.max_attempts:
            self.end(State.FAILED, "worker_lost")
        else:
            self.state = State.QUEUED


class Queue(RuleBasedStateMachine):
    """Rules are what clients, workers and fate do."""

    leases = Bundle("leases")
    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = HandClock()
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.known: dict[str, Known] = {}
        self.jobs: Jobs | None = None

    def do(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        self.store = Store(self.folder)
        self.jobs = Jobs(self.store, POLICY, self.clock)
        self.do(self.jobs.start(sweep=False))

    def close(self) -> None:
        if self.jobs is not None:
            self.do(self.jobs.close())
            self.store.close()

    def teardown(self) -> None:
        self.close()
        self.loop.close()
        shutil.rmtree(self.folder)

    def among(self, state: State) -> dict[str, Known]:
        return {job_id: known for job_id, known in self.known.items() if known.state is state}

    def held(self, lease: Lease, worker: str) -> Known | None:
        known = self.known[lease.job.id]
        fits = known.state is State.RUNNING and known.worker == worker and known.attempts == lease.job.attempts
        return known if fits else None

    @rule(
        target=ids,
        owner=st.sampled_from("ab"),
        low=st.booleans(),
        key=st.none() | st.sampled_from("kl"),
        prompt=st.sampled_from(["x", "y"]),
    )
    def submit(self, owner: str, low: bool, key: str | None, prompt: str):
        job = new(
            owner,
            low_priority=low,
            idempotency_key=key,
            input={"prompt": prompt},
            webhooks=(Webhook("https://example.com", "fal"),),
        )
        earlier = [job_id for job_id, known in self.known.items() if key and known.key == (owner, key)]
        try:
            accepted = self.do(self.jobs.submit(job))
        except QueueFull:
            assert len(self.among(State.QUEUED)) >= POLICY.max_queued
            assert not earlier
            return multiple()
        except IdempotencyConflict:
            assert self.known[earlier[0]].prompt != prompt
            return multiple()
        if earlier:
            assert accepted.id == earlier[0]
            return multiple()
        self.known[accepted.id] = Known(key=(owner, key) if key else None, prompt=prompt)
        return accepted.id

    @rule(target=leases, worker=WORKERS, count=st.integers(1, 3))
    def take(self, worker: str, count: int):
        expected = sorted(self.among(State.QUEUED), key=self.jobs.position)[:count]
        taken = self.do(self.jobs.take(worker, count, 0))
        assert [lease.job.id for lease in taken] == expected
        for lease in taken:
            known = self.known[lease.job.id]
            known.attempts += 1
            known.state, known.worker = State.RUNNING, worker
            known.lease_left, known.run_left = POLICY.lease_s, POLICY.execution_timeout_s
            assert lease.job.attempts == known.attempts
        return multiple(*taken)

    @rule(lease=leases, worker=WORKERS, well=st.booleans())
    def finish(self, lease: Lease, worker: str, well: bool) -> None:
        known = self.held(lease, worker)
        result = {"by": lease.id} if well else Failure.of(InternalError())
        assert self.do(self.jobs.finish(lease.id, worker, result)) is (known is not None)
        if known is not None:
            known.end(State.COMPLETED if well else State.FAILED, lease.id if well else "internal_server_error")

    @rule(lease=consumes(leases))
    def give_back(self, lease: Lease) -> None:
        known = self.held(lease, lease.job.worker)
        assert self.do(self.jobs.give_back(lease.id)) is (known is not None)
        if known is not None:
            known.state = State.QUEUED

    @rule(lease=leases, worker=WORKERS)
    def renew(self, lease: Lease, worker: str) -> None:
        self.do(self.jobs.renew(worker, [lease.id]))
        known = self.held(lease, worker)
        if known is not None:
            known.lease_left = POLICY.lease_s
        else:
            assert lease.id in self.do(self.jobs.stops(worker, 0))

    @rule(worker=WORKERS)
    def lose(self, worker: str) -> None:
        self.do(self.jobs.lose(worker))
        for known in self.among(State.RUNNING).values():
            if known.worker == worker:
                known.lose()

    @rule(seconds=st.integers(1, 12))
    def pass_time(self, seconds: int) -> None:
        self.do(pass_time(self.jobs, self.clock, seconds))
        for known in self.among(State.RUNNING).values():
            known.lease_left -= seconds
            known.run_left -= seconds
            if known.run_left <= 0 and known.run_left <= known.lease_left:
                known.end(State.FAILED, "generation_timeout")
            elif known.lease_left <= 0:
                known.lose()

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        known = self.known[job_id]
        expected = {State.QUEUED: Cancelled.DROPPED, State.RUNNING: Cancelled.STOPPING}
        assert self.do(self.jobs.cancel(job_id)) is expected.get(known.state, Cancelled.ALREADY_DONE)
        if not known.state.final:
            known.end(State.CANCELLED, "client_cancelled")

    @rule(job_id=ids)
    def retry(self, job_id: str) -> None:
        known = self.known[job_id]
        try:
            self.do(self.jobs.retry(job_id))
        except RetryRefused:
            assert known.state is not State.FAILED
        except QueueFull:
            assert len(self.among(State.QUEUED)) >= POLICY.max_queued
        else:
            assert known.state is State.FAILED
            known.state, known.strikes, known.outcome = State.QUEUED, 0, None

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()
        for known in self.among(State.RUNNING).values():
            known.lease_left = POLICY.lease_s

    @invariant()
    def every_job_is_where_the_model_says(self) -> None:
        for job_id, known in self.known.items():
            job = self.do(self.jobs.get(job_id))
            assert (job.state, job.attempts) == (known.state, known.attempts)
            outcome = job.output["by"] if job.output else job.failure.code if job.failure else None
            assert outcome == known.outcome

    @invariant()
    def the_counts_agree(self) -> None:
        if self.jobs is None:
            return
        counts = self.jobs.counts()
        assert counts.queued == len(self.among(State.QUEUED))
        assert counts.running == len(self.among(State.RUNNING))
        assert len({self.jobs.position(job_id) for job_id in self.among(State.QUEUED)}) == counts.queued

    @invariant()
    def each_end_is_in_the_outbox_once(self) -> None:
        if self.jobs is None:
            return
        query = "SELECT job_id, count(*) FROM deliveries GROUP BY job_id"
        told = dict(self.do(self.store.read(lambda connection: [tuple(row) for row in connection.execute(query)])))
        assert told == {job_id: known.ends for job_id, known in self.known.items() if known.ends}


TestQueue = Queue.TestCase
TestQueue.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
