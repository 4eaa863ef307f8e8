"""Every receiver that can be reached gets each webhook, tried again as long as that can help and no longer.

The receivers are real servers with real faults; the policy runs in hundredths of its usual seconds.
"""

from __future__ import annotations

import itertools
import json

import pytest

from gateway.doors.fal.errors import failure_response
from gateway.jobs.model import Failure
from gateway.webhooks import webhooks
from gateway.webhooks.egress import MAX_ANSWER
from gateway.webhooks.model import DeliveryState
from tests.gateway.webhooks.conftest import HASTE
from tests.gateway.webhooks.ended import FAILURE, OUTPUT, end, told
from tests.gateway.webhooks.receivers import Handler, Receiver, receiving
from tests.support.gateway_thread import ServedGateway

DELIVERED, FAILED = DeliveryState.DELIVERED, DeliveryState.FAILED
ATTEMPTS = int(HASTE["webhook_max_attempts"])


@pytest.mark.parametrize(
    ("path", "state", "statuses"),
    [
        ("ok", DELIVERED, [200]),
        ("empty", DELIVERED, [204]),
        ("slow", DELIVERED, [200]),
        ("endless", DELIVERED, [200]),
        ("moved_for_good", FAILED, [301]),
        ("moved", FAILED, [307]),
        ("gone", FAILED, [410]),
        ("wrong", FAILED, [400] * ATTEMPTS),
        ("unknown", FAILED, [404] * ATTEMPTS),
        ("broken", FAILED, [500] * ATTEMPTS),
        ("rude", FAILED, [None] * ATTEMPTS),
        ("short", FAILED, [None] * ATTEMPTS),
        ("busy", DELIVERED, [429, 200]),
        ("mending", DELIVERED, [500, None, None, 200]),
    ],
)
def test_a_receiver_is_tried_until_it_answers_or_nothing_helps(
    telling: ServedGateway, zoo: Receiver, path: str, state: DeliveryState, statuses: list[int | None]
) -> None:
    tried_alike(telling, zoo, path, state, statuses)


def test_a_receiver_that_never_answers_is_left_in_time(impatient: ServedGateway, zoo: Receiver) -> None:
    tried_alike(impatient, zoo, "silent", FAILED, [None] * ATTEMPTS)


def tried_alike(
    served: ServedGateway, zoo: Receiver, path: str, state: DeliveryState, statuses: list[int | None]
) -> None:
    """Tell a receiver of a job: it is tried with these outcomes, and each attempt is in the log."""
    (delivery,), attempts = told(served, end(served, f"{zoo.url}/{path}"))
    assert delivery.state is state
    assert [attempt.status for attempt in attempts] == statuses
    assert delivery.attempts == len(attempts) == len(zoo.of(f"/{path}"))
    assert (attempts[-1].error is None) == (state is DELIVERED)
    assert not zoo.of("/moved") or path == "moved"


def test_attempts_say_the_same_under_one_id_with_a_fresh_time(telling: ServedGateway, zoo: Receiver) -> None:
    job = end(telling, f"{zoo.url}/busy?token=1")
    (delivery,), _ = told(telling, job)
    first, second = zoo.of("/busy?token=1")
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivery.id
    assert int(second.headers["webhook-timestamp"]) > int(first.headers["webhook-timestamp"])
    assert second.headers["webhook-signature"] != first.headers["webhook-signature"]


def test_retry_after_is_waited_for(telling: ServedGateway, zoo: Receiver) -> None:
    told(telling, end(telling, f"{zoo.url}/busy"))
    first, second = zoo.of("/busy")
    assert second.at - first.at >= 0.98


def test_waits_grow_from_attempt_to_attempt(telling: ServedGateway, zoo: Receiver) -> None:
    told(telling, end(telling, f"{zoo.url}/broken"))
    times = [call.at for call in zoo.of("/broken")]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    # What a busy machine adds to them has no bound; that they are no longer than they should be is the policy's test.
    for wait, steady in zip(waits, (0.05, 0.1, 0.2), strict=True):
        assert steady * 0.8 - 0.01 <= wait


def test_an_endless_answer_is_not_read_to_its_end(telling: ServedGateway, zoo: Receiver) -> None:
    told(telling, end(telling, f"{zoo.url}/endless"))
    # What was taken: what we read, and what fits into the buffers between.
    assert zoo.flooded < MAX_ANSWER + 16 * 2**20  # type: ignore[attr-defined]


def test_what_a_receiver_says_is_not_repeated(telling: ServedGateway, zoo: Receiver) -> None:
    (delivery,), attempts = told(telling, end(telling, f"{zoo.url}/broken"))
    assert "secret of the receiver" not in repr((delivery, attempts))


def test_the_result_can_be_had_before_it_is_told(telling: ServedGateway) -> None:
    states = []

    def look(handler: Handler, before: int) -> None:
        job_id = handler.headers["X-Fal-Webhook-Request-Id"]
        job = telling.run(telling.gateway.jobs.get(job_id))
        states.append((job.state.final, job.output))
        handler.answer(200)

    with receiving(look=look) as receiver:
        told(telling, end(telling, f"{receiver.url}/look"))
    assert states == [(True, OUTPUT)]


def test_fals_words_for_a_result_and_for_a_failure(telling: ServedGateway, zoo: Receiver) -> None:
    good, bad = end(telling, f"{zoo.url}/ok?good"), end(telling, f"{zoo.url}/ok?bad", result=FAILURE)
    told(telling, good)
    told(telling, bad)
    payload = {name: value for name, value in OUTPUT.items() if name != "seeds"}
    ids = {"request_id": good.id, "gateway_request_id": good.id}
    assert json.loads(zoo.of("/ok?good")[0].body) == {**ids, "status": "OK", "payload": payload}
    said = json.loads(zoo.of("/ok?bad")[0].body)
    assert (said["status"], said["error"]) == ("ERROR", "Invalid status code: 500")
    assert said["payload"]["detail"] == "The GPU ran out of memory"


def test_pictures_are_linked_where_the_receiver_can_get_them(telling: ServedGateway, zoo: Receiver) -> None:
    file = telling.run(telling.gateway.files.add(b"\x89PNG\r\n\x1a\n....", name="0.png", owner="local"))
    ours = {**OUTPUT, "images": [{"url": telling.gateway.files.url(file, "http://only-the-worker:1")}]}
    told(telling, end(telling, f"{zoo.url}/ok", result=ours))
    linked = json.loads(zoo.of("/ok")[0].body)["payload"]["images"][0]["url"]
    assert linked == telling.gateway.files.url(file, telling.url)


def test_fooocus_apis_words_are_two_keys(telling: ServedGateway, zoo: Receiver) -> None:
    job = end(telling, f"{zoo.url}/ok", dialect="fooocus-api")
    told(telling, job)
    result = [{"url": OUTPUT["images"][0]["url"], "seed": OUTPUT["seeds"][0]}]
    assert json.loads(zoo.of("/ok")[0].body) == {"job_id": job.id, "job_result": result}


def test_runpods_words_are_the_record_with_its_input(telling: ServedGateway, zoo: Receiver) -> None:
    job = end(telling, f"{zoo.url}/ok", dialect="runpod")
    told(telling, job)
    said = json.loads(zoo.of("/ok")[0].body)
    assert (said["status"], said["webhook"]) == ("COMPLETED", f"{zoo.url}/ok")
    assert {"id", "input", "output", "delayTime", "executionTime"} <= said.keys()


def test_each_webhook_of_a_job_is_told(telling: ServedGateway, zoo: Receiver) -> None:
    deliveries, _ = told(telling, end(telling, f"{zoo.url}/ok?1", f"{zoo.url}/gone", f"{zoo.url}/ok?2"))
    assert sorted(delivery.state for delivery in deliveries) == [DELIVERED, DELIVERED, FAILED]
    assert len({delivery.id for delivery in deliveries}) == 3


def test_a_dialect_nobody_speaks_is_given_up(telling: ServedGateway, zoo: Receiver) -> None:
    (delivery,), _ = told(telling, end(telling, f"{zoo.url}/ok", dialect="esperanto"))
    assert delivery.state is FAILED
    assert not zoo.calls


def test_a_webhook_does_not_wait_for_the_next_look_into_the_store(
    telling: ServedGateway, zoo: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "RESCAN_S", 3600.0)
    told(telling, end(telling, f"{zoo.url}/ok"))  # from its end on no look comes any more
    end(telling, f"{zoo.url}/ok?2")
    zoo.wait_for("/ok?2", 1)


def test_fals_words_give_the_status_the_result_answers_with(telling: ServedGateway, zoo: Receiver) -> None:
    lost = Failure("worker_lost", 503, False, "Every worker was lost", "Every worker was lost")
    job = end(telling, f"{zoo.url}/ok?lost", result=lost)
    told(telling, job)
    said = json.loads(zoo.of("/ok?lost")[0].body)["error"]
    answer = failure_response(lost, job.id)
    assert said == f"Invalid status code: {answer.status_code}" == "Invalid status code: 500"
