"""Receivers that hang hurt nobody else: what waits is ordered by time, few at a time for one receiver."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gateway.webhooks.agenda import Agenda, Entry
from gateway.webhooks.policy import Policy
from tests.gateway.webhooks.ended import end
from tests.gateway.webhooks.receivers import receiving
from tests.support.gateway_thread import threaded_gateway

HANGING, HEALTHY = 50, 20


@contextmanager
def hanging(count: int) -> Iterator[list[str]]:
    """URLs of servers that take a connection and never answer."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64)) for _ in range(count)]
        yield [f"http://127.0.0.1:{listener.getsockname()[1]}/" for listener in listeners]


def test_hanging_receivers_do_not_delay_a_healthy_one(tmp_path: Path) -> None:
    with (
        threaded_gateway(tmp_path / "data", allow_private_webhooks=True, webhook_first_timeout_s=600) as served,
        hanging(HANGING) as silent,
        receiving() as receiver,
    ):
        for url in silent:
            end(served, url, url)
        for number in range(HEALTHY):
            end(served, f"{receiver.url}/{number}")
            receiver.wait_for(f"/{number}", 1)


def agenda(**policy: int) -> Agenda:
    return Agenda(Policy(**policy))


def taken(agenda: Agenda, now: float = 100) -> list[str]:
    return [entry.id for entry in agenda.take(now)]


def test_what_is_due_comes_in_its_order_and_nothing_before_its_time() -> None:
    plan = agenda()
    for due, name in ((30, "c"), (10, "a"), (20, "b"), (200, "late")):
        plan.add(Entry(due, name, name, True))
    assert taken(plan) == ["a", "b", "c"]
    assert plan.next_due() == 200
    assert taken(plan, 200) == ["late"]


def test_one_receiver_gets_few_at_a_time() -> None:
    plan = agenda(per_target=2)
    for number in range(5):
        plan.add(Entry(number, f"{number}", "busy", True))
    plan.add(Entry(50, "other", "other", True))
    entries = plan.take(100)
    assert [entry.id for entry in entries] == ["0", "other", "1"]
    assert plan.take(100) == []
    plan.done(entries[0])
    assert taken(plan) == ["2"]


def test_retries_do_not_take_the_room_of_first_attempts() -> None:
    plan = agenda(first_slots=2, retry_slots=3)
    for number in range(10):
        plan.add(Entry(number, f"again {number}", f"slow {number}", False))
        plan.add(Entry(50 + number, f"new {number}", f"new {number}", True))
    assert taken(plan) == ["new 0", "new 1", "again 0", "again 1", "again 2"]


def test_a_delivery_is_planned_once() -> None:
    plan = agenda()
    entry = Entry(1, "a", "a", True)
    plan.add(entry), plan.add(entry)
    assert plan.take(100) == [entry]
    plan.add(entry)
    assert plan.take(100) == []
    plan.done(entry, again=Entry(150, "a", "a", False))
    assert (plan.take(100), len(plan), plan.next_due()) == ([], 1, 150)


def test_nothing_is_forgotten_whatever_the_order() -> None:
    plan = agenda(per_target=1, first_slots=3, retry_slots=2)
    for number, target in itertools.product(range(20), "abcde"):
        plan.add(Entry(number, f"{target}{number}", target, number % 2 == 0))
    seen: list[str] = []
    while entries := plan.take(100):
        targets = [entry.target for entry in entries]
        assert len(set(targets)) == len(targets)
        for entry in entries:
            seen.append(entry.id)
            plan.done(entry)
    assert sorted(seen) == sorted(f"{target}{number}" for number, target in itertools.product(range(20), "abcde"))
    assert len(plan) == 0
