"""The queue, asked by fal's real clients in every way they can be pointed here: submit, status, result, cancel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.e2e.fal.conftest import Clients
from tests.support.fal.clients import KINDS, Client, ClientError
from tests.support.gateway import GatewayProcess, until

APP = "fal-ai/fooocus"
INPUT = {"prompt": "a red circle on a blue background", "aspect_ratio": "64x64"}
UNKNOWN = "b9f7e2a4-0000-4000-8000-000000000000"


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, clients: Clients) -> Client:
    return clients(request.param)


def test_a_request_from_submit_to_cancel(client: Client) -> None:
    """Submitted with everything a client can say, looked at, cancelled, and asked for its result in each state."""
    request_id = client.submit(
        APP, INPUT, webhook="http://127.0.0.1:9/hook?a=1&b=2", start_timeout=600,
        priority="low", hint="gpu-7", headers={"X-Fal-No-Retry": "1", "X-Fal-Store-IO": "0"},
    )  # fmt: skip
    plain = client.status(APP, request_id)
    assert plain["status"] == "IN_QUEUE"
    assert not plain.get("logs")
    logged = client.status(APP, request_id, logs=True)
    # Python's class of a waiting request has no room for a log.
    assert not client.is_js or [line["level"] for line in logged["logs"]] == ["INFO"]
    if client.is_js:
        with pytest.raises(ClientError) as early:
            client.result(APP, request_id)
        assert (early.value.status, early.value.detail) == (400, "Request is still in progress")

    client.cancel(APP, request_id)
    assert client.status(APP, request_id, logs=True)["status"] == "COMPLETED"
    with pytest.raises(ClientError) as again:
        client.cancel(APP, request_id)
    assert again.value.status == 400
    with pytest.raises(ClientError) as cancelled:
        client.result(APP, request_id)
    assert (cancelled.value.status, cancelled.value.error_type) == (499, "client_cancelled")


@pytest.mark.parametrize("kind", ["js-proxy", "py-module"])
def test_the_place_in_the_queue_is_the_number_ahead(kind: str, clients: Clients) -> None:
    client = clients(kind)
    name = "queue_position" if client.is_js else "position"
    first, second = client.submit(f"{APP}/inpaint", {**INPUT, "inpaint_image_url": "x"}), client.submit(APP, INPUT)
    low = client.submit(APP, INPUT, priority="low")
    third = client.submit(APP, INPUT)
    places = [client.status(APP, request_id)[name] for request_id in (first, second, third, low)]
    assert places == list(range(places[0], places[0] + 4))
    for request_id in (first, second, low, third):
        client.cancel(APP, request_id)


def test_an_unknown_id(client: Client, empty: GatewayProcess) -> None:
    for ask in (client.status, client.cancel):
        with answering_once(empty, 404), pytest.raises(ClientError) as unknown:
            ask(APP, UNKNOWN)
        assert unknown.value.status == 404


def test_an_unknown_app(client: Client) -> None:
    for ask in (client.submit, client.run):
        with pytest.raises(ClientError) as unknown:
            ask("fal-ai/flux/dev", INPUT)
        assert unknown.value.status == 404
        assert "fal-ai/flux/dev" in unknown.value.detail


def test_invalid_input_is_told_at_the_result_and_by_a_run(client: Client, empty: GatewayProcess) -> None:
    wrong = {**INPUT, "num_images": 9, "guidance_scale": "much"}
    for ask in (client.subscribe, client.run):
        with answering_once(empty, 422), pytest.raises(ClientError) as invalid:
            ask(APP, wrong)
        error = invalid.value
        assert error.status == 422
        assert {detail["loc"][-1]: detail["type"] for detail in error.detail} == {
            "num_images": "less_than_equal",
            "guidance_scale": "float_parsing",
        }
        assert not client.is_js or error.name == "ValidationError"


def test_input_that_is_required(client: Client) -> None:
    with pytest.raises(ClientError) as invalid:
        client.subscribe(f"{APP}/inpaint", {})
    assert [(detail["loc"], detail["type"]) for detail in invalid.value.detail] == [
        (["body", "inpaint_image_url"], "missing")
    ]


@pytest.mark.parametrize(
    "kind", ["js-proxy", "js-middleware", "js-fetch", "py-env", "py-module", "py-module-oldest", "py-tunnel"]
)
def test_a_request_that_did_not_start_in_time_is_not_repeated(
    kind: str, clients: Clients, empty: GatewayProcess
) -> None:
    client = clients(kind)
    with answering_once(empty, 504), pytest.raises(ClientError) as late:
        client.run(APP, INPUT, start_timeout=1.01)
    assert (late.value.status, late.value.error_type) == (504, "startup_timeout")


@pytest.mark.parametrize("kind", ["js-proxy", "py-env", "py-module", "py-tunnel"])
def test_a_client_that_waits_no_longer_cancels(kind: str, clients: Clients, empty: GatewayProcess) -> None:
    """Python's `client_timeout`, JavaScript's `timeout`: both send the cancel themselves."""
    client = clients(kind)
    with pytest.raises(ClientError, match=r"[Tt]ime"):
        client.subscribe(APP, INPUT, **({"timeout": 300} if client.is_js else {"client_timeout": 1.2}))
    until(lambda: empty.get("/runpod/v2/fooocus/health")[1]["jobs"]["inQueue"] == 0)


def test_status_events_of_a_waiting_request(clients: Clients) -> None:
    """JavaScript's only user of the stream: it ends right after the last state, each line of the log comes once."""
    client = clients("js-proxy")
    request_id = client.submit(APP, INPUT, start_timeout=1.01)
    found = client.call("statusEvents", id=APP, requestId=request_id, logs=True)
    assert [event["status"] for event in found["events"]] == ["IN_QUEUE", "COMPLETED"]
    assert found["last"]["error_type"] == "startup_timeout"
    told = [line["message"] for event in found["events"] for line in event["logs"]]
    assert told == [line["message"] for line in client.status(APP, request_id, logs=True)["logs"]] != []


@contextlib.contextmanager
def answering_once(gateway: GatewayProcess, status: int) -> Iterator[None]:
    """What is called meanwhile gets this status, and is not called again."""
    before = len(answered(gateway, status))
    yield
    # The line is written just after the answer.
    until(lambda: len(answered(gateway, status)) > before)
    assert len(answered(gateway, status)) == before + 1


def answered(gateway: GatewayProcess, status: int) -> list[str]:
    return [line for line in gateway.log().splitlines() if f'"status": {status},' in line]
