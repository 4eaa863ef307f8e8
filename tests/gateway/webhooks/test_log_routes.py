"""The owner of a job reads what became of its webhooks and may have one sent again; nobody else sees anything."""

from __future__ import annotations

import httpx2

from gateway.jobs.model import NewJob, Webhook
from gateway.webhooks.model import DeliveryState
from schemas.errors import BadRequest
from tests.gateway.webhooks.ended import end, told
from tests.gateway.webhooks.receivers import Receiver, answering, in_turn
from tests.support.gateway_thread import ServedGateway
from tests.support.worker import wait_for


def log_of(served: ServedGateway, job_id: str, **headers: str) -> httpx2.Response:
    return httpx2.get(f"{served.url}/webhooks/jobs/{job_id}", headers=headers)


def again(served: ServedGateway, job_id: str, delivery_id: str) -> httpx2.Response:
    return httpx2.post(f"{served.url}/webhooks/jobs/{job_id}/{delivery_id}/redeliver")


def test_the_log_tells_of_every_attempt(telling: ServedGateway, zoo: Receiver) -> None:
    job = end(telling, f"{zoo.url}/busy?secret=1")
    told(telling, job)
    answer = log_of(telling, job.id)
    assert answer.status_code == 200
    (delivery,) = answer.json()["deliveries"]
    assert (delivery["state"], delivery["dialect"], delivery["next_attempt_at"]) == ("delivered", "fal", None)
    assert delivery["url"] == f"{zoo.url}/busy"
    assert "secret" not in answer.text
    first, second = delivery["attempts"]
    assert (first["status"], first["error"]) == (429, "The receiver answered HTTP 429")
    assert (second["status"], second["error"]) == (200, None)
    assert second["at"] > first["at"] >= job.ended_at
    assert 0 <= first["seconds"] < 60


def test_a_webhook_that_waits_says_until_when(telling: ServedGateway, zoo: Receiver) -> None:
    zoo.behaviours["/later"] = answering(503, Retry_After="60")
    job = end(telling, f"{zoo.url}/later")
    zoo.wait_for("/later", 1)
    wait_for(lambda: log_of(telling, job.id).json()["deliveries"][0]["attempts"], 60, "the first attempt")
    (delivery,) = log_of(telling, job.id).json()["deliveries"]
    metrics = httpx2.get(f"{telling.url}/metrics").text
    assert "fooocus_webhooks_pending 1.0" in metrics
    # Asked for a minute, but the longest wait of this policy is two seconds.
    assert delivery["state"] == "pending"
    assert 0 < delivery["next_attempt_at"] - delivery["attempts"][0]["at"] < 3


def test_a_webhook_can_be_sent_again_under_its_id(telling: ServedGateway, zoo: Receiver) -> None:
    zoo.behaviours["/moody"] = in_turn(answering(410), answering(200))
    job = end(telling, f"{zoo.url}/moody")
    (delivery,), _ = told(telling, job)
    assert delivery.state is DeliveryState.FAILED
    assert again(telling, job.id, delivery.id).status_code == 202
    (delivery,), attempts = told(telling, job)
    assert delivery.state is DeliveryState.DELIVERED
    assert [attempt.status for attempt in attempts] == [410, 200]
    first, second = zoo.of("/moody")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body


def test_what_is_not_there_is_not_sent_again(telling: ServedGateway, zoo: Receiver) -> None:
    job, other = end(telling, f"{zoo.url}/ok"), end(telling, f"{zoo.url}/ok")
    told(telling, job)
    ((delivery,), _) = told(telling, other)
    assert again(telling, job.id, delivery.id).status_code == 404
    assert again(telling, job.id, "none").status_code == 404
    assert again(telling, "none", delivery.id).status_code == 404
    assert len(zoo.of("/ok")) == 2


def test_the_log_goes_with_the_job(telling: ServedGateway, zoo: Receiver) -> None:
    job = end(telling, f"{zoo.url}/ok")
    told(telling, job)
    assert telling.run(telling.gateway.jobs.delete(job.id))
    assert log_of(telling, job.id).status_code == 404
    assert telling.run(telling.gateway.webhooks.of_job(job.id)) == ([], [])


def test_other_owners_see_nothing(telling: ServedGateway, zoo: Receiver) -> None:
    hers = NewJob(owner="ann", door="test", app="test", input={}, webhooks=(Webhook(f"{zoo.url}/ok", "fal"),))
    job = telling.run(telling.gateway.jobs.fail_at_once(hers, BadRequest()))
    (delivery,), _ = told(telling, job)
    assert log_of(telling, job.id).status_code == again(telling, job.id, delivery.id).status_code == 404
    assert log_of(telling, job.id).json() == log_of(telling, "none").json()
    assert len(zoo.of("/ok")) == 1
