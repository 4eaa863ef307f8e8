"""Who is next: arrival, low behind normal, and one owner's flood never holds up another."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from gateway.jobs.line import Line, Ticket


class Queue:
    """A line of jobs named by number."""

    def __init__(self) -> None:
        self.line = Line()
        self._number = count()

    def add(self, owner: str, low: bool = False, times: int = 1) -> list[str]:
        return [self._add(owner, low) for _ in range(times)]

    def _add(self, owner: str, low: bool) -> str:
        number = next(self._number)
        ticket = Ticket(f"{owner}{number}", number, owner, "fal", low, 600, None)
        self.line.join(ticket)
        return ticket.id

    def take(self, times: int = 10**6) -> list[str]:
        taken = (self.line.next() for _ in range(min(times, len(self.line))))
        return [ticket.id for ticket in taken if ticket is not None]


def test_one_owner_is_served_in_order_low_last() -> None:
    queue = Queue()
    low = queue.add("a", low=True, times=2)
    normal = queue.add("a", times=3)
    assert queue.take() == normal + low


def test_owners_take_turns() -> None:
    queue = Queue()
    a, b, c = queue.add("a", times=3), queue.add("b", times=2), queue.add("c")
    assert queue.take() == [a[0], b[0], c[0], a[1], b[1], a[2]]


def test_a_flood_of_10_000_holds_up_nobody_else() -> None:
    queue = Queue()
    queue.add("flood", times=10_000)
    ahead = []
    for number in range(500):
        queue.take(3)
        (job,) = queue.add(f"other{number % 5}")
        ahead.append(queue.line.position(job))
        queue.add("flood", times=3)
    assert sorted(ahead)[int(0.95 * len(ahead))] <= 2
    assert max(ahead) <= 6


def test_a_polite_stranger_does_not_starve_the_flood() -> None:
    queue = Queue()
    queue.add("flood", times=1000)
    taken = []
    for _ in range(100):
        queue.add("one-by-one")
        taken += queue.take(1)
    assert 45 <= sum(job.startswith("flood") for job in taken) <= 55


def test_jobs_taken_back_are_not_held_against_their_owner() -> None:
    queue = Queue()
    queue.add("flood", times=1000)
    for job in queue.add("ann", times=500):
        queue.line.leave(job)
    (job,) = queue.add("ann")
    assert queue.line.position(job) <= 1


def test_a_job_that_returns_is_next() -> None:
    queue = Queue()
    queue.add("a", times=5)
    queue.add("b", times=5)
    ticket = queue.line.next()
    queue.take(4)
    queue.line.join(ticket)
    assert queue.line.position(ticket.id) == 0


def test_owners_that_are_gone_are_forgotten() -> None:
    queue = Queue()
    for number in range(5000):
        queue.add(f"owner{number}")
        queue.take()
    assert len(queue.line._last_turn) + len(queue.line._served) + len(queue.line._waiting) < 300


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("take"), st.integers(1, 3)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
    ),
    max_size=60,
)


@given(STEPS)
def test_positions_tell_the_order_of_service(steps: list[tuple]) -> None:
    queue, waiting = Queue(), []
    for step in steps:
        match step:
            case ("add", owner, low):
                waiting += queue.add(owner, low)
            case ("take", times):
                for job in queue.take(times):
                    waiting.remove(job)
            case ("leave", index) if index < len(waiting):
                assert queue.line.leave(waiting.pop(index)) is not None
    positions = {queue.line.position(job): job for job in waiting}
    assert sorted(positions) == list(range(len(waiting)))
    assert sum(queue.line.waiting_of(owner) for owner in "abc") == len(waiting) == len(queue.line)
    assert queue.take() == [positions[place] for place in sorted(positions)]


@given(STEPS)
def test_one_owners_jobs_of_one_priority_keep_their_order(steps: list[tuple]) -> None:
    queue, served = Queue(), []
    for step in steps:
        if step[0] == "add":
            queue.add(f"{step[1]}{'-low' if step[2] else ''}-", step[2])
        elif step[0] == "take":
            served += queue.take(step[1])
    served += queue.take()
    for group in {job.rsplit("-", 1)[0] for job in served}:
        numbers = [int(job.rsplit("-", 1)[1]) for job in served if job.rsplit("-", 1)[0] == group]
        assert numbers == sorted(numbers)
