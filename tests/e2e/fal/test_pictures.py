"""Pictures for fal's real clients, from the real worker: subscribe, run, stream and events, and what each shows."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests.e2e.fal.conftest import Clients
from tests.support.fal.clients import KINDS, Client, ClientError
from tests.support.gateway import GatewayProcess, until

APP = "fal-ai/fooocus"
QUICK = {
    "prompt": "a red circle on a blue background",
    "aspect_ratio": "64x64",
    "styles": [],
    "seed": 7,
    "advanced": {"overwrite_step": 2},
}
LONG = {**QUICK, "num_images": 4, "advanced": {"overwrite_step": 200, "num_images": 32}}


def pixels(url: str) -> np.ndarray:
    """(height, width, 3), of a URL or data URI."""
    with urllib.request.urlopen(url, timeout=60) as response, Image.open(io.BytesIO(response.read())) as picture:
        return np.asarray(picture.convert("RGB")).astype(np.int16)


@pytest.fixture(scope="module")
def first(painters: Clients) -> np.ndarray:
    """The picture of QUICK, as one client got it."""
    return pixels(painters("js-proxy").run(APP, QUICK)["images"][0]["url"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_client_gets_the_same_picture(
    kind: str, painters: Clients, painting: GatewayProcess, first: np.ndarray
) -> None:
    """Subscribed with logs: fal's output key for key, and the picture a run of another client gave."""
    done = painters(kind).subscribe(APP, QUICK, logs=True)
    assert set(done.data) == {"images", "timings", "has_nsfw_concepts"}
    (image,) = done.data["images"]
    assert {name: image[name] for name in ("content_type", "width", "height")} == {
        "content_type": "image/jpeg", "width": 64, "height": 64,
    }  # fmt: skip
    assert image["url"].startswith(painting.url), "also for a client that came by HTTPS or by fal's names"
    assert np.array_equal(pixels(image["url"]), first)
    assert done.updates[-1]["status"] == "COMPLETED"
    log = [line["message"] for line in done.updates[-1]["logs"]]
    assert "Step 1/2 of image 1/1" in log
    assert KINDS[kind].language == "py" or done.request_id


def test_the_picture_follows_the_request(painters: Clients) -> None:
    """A blue background, and another seed another picture."""
    asked = {**QUICK, "aspect_ratio": "256x256", "output_format": "png", "advanced": {}}
    picture = pixels(painters("py-module").subscribe(APP, asked).data["images"][0]["url"])
    other = pixels(painters("js-fetch").subscribe(APP, {**asked, "seed": 8}).data["images"][0]["url"])
    assert picture.shape == other.shape == (256, 256, 3)
    corners = np.concatenate([picture[:24, :24].reshape(-1, 3), picture[-24:, -24:].reshape(-1, 3)])
    red, green, blue = corners.mean(axis=0)
    assert blue > max(red, green) + 20
    assert np.abs(picture - other).mean() > 2


@pytest.mark.parametrize(
    "kind",
    ["js-middleware", "js-fetch", "js-page", "js-oldest", "py-env", "py-module", "py-module-oldest", "py-tunnel"],
)
def test_a_run_answers_inline_when_asked_to(kind: str, painters: Clients, first: np.ndarray) -> None:
    data = painters(kind).run(APP, {**QUICK, "sync_mode": True})
    (image,) = data["images"]
    assert image["url"].startswith("data:image/jpeg;base64,")
    assert np.array_equal(pixels(image["url"]), first)


@pytest.mark.parametrize("kind", ["js-proxy", "js-middleware", "js-fetch", "js-page", "js-oldest"])
def test_events_of_a_request(kind: str, painters: Clients) -> None:
    """JavaScript's streaming mode puts the logs of all events together: no line comes twice."""
    done = painters(kind).subscribe(APP, QUICK, logs=True, mode="streaming")
    words = [update["status"] for update in done.updates]
    assert words == sorted(words, key=["IN_QUEUE", "IN_PROGRESS", "COMPLETED"].index)
    assert words[-1] == "COMPLETED"
    log = [line["message"] for line in done.updates[-1]["logs"]]
    assert [line for line in log if line.startswith("Step")] == [f"Step {step}/2 of image 1/1" for step in (1, 2)]
    assert len(log) == len(set(log))


@pytest.mark.parametrize(
    "kind",
    ["js-proxy", "js-middleware", "js-fetch", "js-page", "js-oldest", "py-env", "py-module", "py-tunnel-oldest"],
)
def test_a_stream_shows_steps_and_ends_with_the_output(kind: str, painters: Clients, first: np.ndarray) -> None:
    *steps, last = painters(kind).stream(APP, {**QUICK, "advanced": {"overwrite_step": 2}})
    assert np.array_equal(pixels(last["images"][0]["url"]), first)
    assert steps, "no step was shown"
    assert steps[0]["progress"] == {"image": 0, "images": 1, "step": 1, "steps": 2, "share": 0.5}
    assert pixels(steps[0]["images"][0]["url"]).ndim == 3


@pytest.mark.parametrize("kind", ["py-env", "py-module", "py-tunnel"])
def test_pythons_asynchronous_client(kind: str, painters: Clients, first: np.ndarray) -> None:
    done = painters(kind).subscribe(APP, QUICK, logs=True, call="subscribe_async")
    assert np.array_equal(pixels(done.data["images"][0]["url"]), first)


def test_what_the_worker_refuses_reaches_the_caller(painters: Clients) -> None:
    """By subscription, by run and, as nothing has been streamed by then, by stream."""
    wrong = {**QUICK, "control_image_url": "data:image/png;base64,AAAA"}
    for kind in ("js-proxy", "py-module"):
        client = painters(kind)
        for ask in (client.subscribe, client.run):
            with pytest.raises(ClientError) as refused:
                ask(APP, wrong)
            assert refused.value.status == 422
            assert [detail["loc"] for detail in refused.value.detail] == [["body", "control_image_url"]]
    with pytest.raises(ClientError) as refused:
        painters("js-proxy").stream(APP, wrong)
    assert (refused.value.status, refused.value.error["name"]) == (422, "ValidationError")


@pytest.mark.parametrize("kind", ["js-proxy", "py-module"])
def test_a_running_request_is_cancelled(kind: str, painters: Clients, painting: GatewayProcess) -> None:
    client = painters(kind)
    request_id = client.submit(APP, LONG)
    until(lambda: "Step" in _log(client, request_id))
    client.cancel(APP, request_id)
    with pytest.raises(ClientError) as cancelled:
        client.result(APP, request_id)
    assert cancelled.value.status == 499
    until(lambda: painting.workers()["idle"])


def test_who_leaves_a_stream_takes_the_job_along(painters: Clients, painting: GatewayProcess) -> None:
    shown = painters("js-proxy").call("streamAndLeave", id=APP, input=LONG)
    assert shown["progress"]["share"] < 0.5
    until(lambda: painting.workers()["idle"])


def test_who_leaves_a_run_takes_the_job_along(painting: GatewayProcess) -> None:
    request = urllib.request.Request(f"{painting.url}/run/{APP}", _json(LONG), method="POST")
    with pytest.raises((TimeoutError, urllib.error.URLError)):
        urllib.request.urlopen(request, timeout=1)
    until(lambda: painting.workers()["idle"])
    ended = painting.get("/metrics")[1]
    assert 'outcome="cancelled"' in ended


def test_the_worker_sees_what_was_uploaded(painters: Clients) -> None:
    """JavaScript uploads the file in the input; the worker, which fetches nothing from here, finds it damaged."""
    damaged = b"\x89PNG\r\n\x1a\n" + bytes(1000)
    file = {"$file": {"base64": base64.b64encode(damaged).decode(), "type": "image/png", "name": "in.png"}}
    with pytest.raises(ClientError) as refused:
        painters("js-proxy").subscribe(f"{APP}/upscale-or-vary", {**QUICK, "uov_image_url": file})
    (detail,) = refused.value.detail
    assert (detail["loc"], detail["type"]) == (["body", "uov_image_url"], "image_load_error")


def _log(client: Client, request_id: str) -> str:
    return str(client.status(APP, request_id, logs=True).get("logs"))


def _json(input: dict[str, object]) -> bytes:
    return json.dumps(input).encode()
