"""Fooocus-API's answers over real HTTP, key for key; among them what its users complained about most.

The pictures here come from a worker that draws nothing; `test_document.py` looks at drawn ones.
"""

from __future__ import annotations

import base64
import contextlib
import io
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.e2e.fooocus_api.calls import T2I, bare, circle, ended, paper_worker, query, running, stop, submit
from tests.support.gateway import GatewayProcess, joined, serving_gateway, until
from tests.support.paper_worker import PNG
from tests.support.receiver import receiver

KEYS = ["job_id", "job_type", "job_stage", "job_progress", "job_status", "job_step_preview", "job_result"]


def test_a_synchronous_call_gives_an_array_with_text_seeds(api: str) -> None:
    (image,) = requests.post(api + T2I, json={}, timeout=30).json()
    assert list(image) == ["base64", "url", "seed", "finish_reason"]
    assert (image["base64"], image["seed"], image["finish_reason"]) == (None, "1", "SUCCESS")
    assert requests.get(image["url"], timeout=30).content == PNG


def test_base64_is_bare_as_the_document_has_it(api: str) -> None:
    (image,) = requests.post(api + T2I, json={"require_base64": True}, timeout=30).json()
    assert base64.b64decode(image["base64"], validate=True) == PNG


@pytest.mark.parametrize(
    ("headers", "params"), [({"Accept": "image/png"}, {}), ({"Accept": "application/json"}, {"accept": "image/png"})]
)
def test_the_picture_itself_when_asked_for(api: str, headers: dict[str, str], params: dict[str, str]) -> None:
    answer = requests.post(api + T2I, json={"save_extension": "webp"}, headers=headers, params=params, timeout=30)
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).format == "PNG"


def test_a_longer_accept_list_stays_json(api: str) -> None:
    headers = {"Accept": "image/png, */*"}
    assert isinstance(requests.post(api + T2I, json={}, headers=headers, timeout=30).json(), list)


def test_an_asynchronous_job_from_waiting_to_success(api: str) -> None:
    job = submit(api, prompt="4 seconds")
    assert list(job) == KEYS
    assert (job["job_type"], job["job_stage"], job["job_progress"]) == ("Text to Image", "WAITING", 0)
    under_way = until(lambda: (now := query(api, job["job_id"]))["job_progress"] > 15 and now)
    assert under_way["job_stage"] == "RUNNING", "Not WAITING, as later versions of the original said"
    assert under_way["job_status"].startswith("Step ")
    assert under_way["job_status"].endswith(" in the 1-th Sampling")
    done = ended(api, job["job_id"])
    assert (done["job_stage"], done["job_progress"], done["job_status"]) == ("SUCCESS", 100, "Finished")
    assert [image["finish_reason"] for image in done["job_result"]] == ["SUCCESS"]
    assert query(api, job["job_id"]) == done, "Asking again gives the same"


def test_progress_never_steps_back(api: str) -> None:
    job = submit(api, prompt="1 seconds")
    seen = []
    while not seen or seen[-1] < 100:
        seen.append(query(api, job["job_id"])["job_progress"])
    assert seen == sorted(seen)


def test_an_unknown_job_is_a_404_with_a_job_object(api: str) -> None:
    answer = requests.get(f"{api}/v1/generation/query-job", params={"job_id": "nothing"}, timeout=30)
    assert answer.status_code == 404
    assert answer.json() == dict.fromkeys(KEYS) | {
        "job_id": "", "job_type": "Not Found", "job_stage": "ERROR", "job_progress": 0,
        "job_status": "Job not found",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"performance_selection": "Turbo"}, ["performance_selection"]),
        ({"image_number": 33}, ["image_number"]),
        ({"aspect_ratios_selection": "wide"}, ["aspect_ratios_selection"]),
        ({"aspect_ratios_selection": "1001*1001"}, ["aspect_ratios_selection"]),
        ({"style_selections": ["No Such Style"]}, ["style_selections", 0]),
        ({"advanced_params": {"adm_scaler_end": 2}}, ["advanced_params", "adm_scaler_end"]),
        ({"advanced_params": {"sampler_name": "magic"}}, ["advanced_params", "sampler_name"]),
        ({"loras": [{"weight": 1}]}, ["loras", 0, "model_name"]),
        ({"meta_scheme": "a111"}, ["meta_scheme"]),
        ({"save_extension": "gif"}, ["save_extension"]),
    ],
)
def test_each_bad_field_is_a_422_that_names_it(api: str, body: dict[str, Any], field: list[Any]) -> None:
    answer = requests.post(api + T2I, json=body, timeout=30)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", *field]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "missing"), (b"null", "missing"), (b"{", "json_invalid"), (b"\xff", "json_invalid"),
        (b"[" * 900, "json_invalid"), (b'{"image_seed": 1e999}', "json_invalid"), (b"[]", "value_error"),
        (b"5", "value_error"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_object_is_refused(api: str, body: bytes, kind: str) -> None:
    answer = requests.post(api + T2I, data=body, headers={"Content-Type": "application/json"}, timeout=30)
    assert answer.status_code == 422
    assert [(item["loc"], item["type"]) for item in answer.json()["detail"]] == [(["body"], kind)]


@pytest.mark.parametrize(
    ("path", "sent", "field"),
    [
        ("image-upscale-vary", {"json": {"input_image": "x"}}, ["body"]),
        ("image-upscale-vary", {"data": {"uov_method": "Upscale (2x)"}}, ["body", "input_image"]),
        ("image-inpaint-outpaint", {"data": {"prompt": "x"}}, ["body", "input_image"]),
        ("image-inpaint-outpaint", {"data": {"input_image": "None"}}, ["body", "input_image"]),
        ("image-prompt", {"data": {"loras": '[{"model_name":"\\ud800"}]'}}, ["body", "loras"]),
        ("image-prompt", {"data": {"advanced_params": "[" * 900}}, ["body", "advanced_params"]),
        ("image-prompt", {"data": {"image_prompts": "5"}}, ["body", "image_prompts"]),
        ("image-prompt", {"data": {"cn_stop1": "2", "cn_img1": bare(circle())}}, ["body", "cn_stop1"]),
        ("image-prompt", {"data": {"cn_type3": "x"}, "files": {"cn_img3": circle()}}, ["body", "cn_type3"]),
        ("image-prompt", {"files": {"cn_img4": b"GIF89a"}}, ["body", "cn_img4"]),
    ],
)
def test_each_bad_field_of_a_form_is_a_422_that_names_it(
    api: str, path: str, sent: dict[str, Any], field: list[str]
) -> None:
    answer = requests.post(f"{api}/v1/generation/{path}", timeout=30, **sent)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"] == field


def test_a_webhook_address_that_is_none_is_refused_at_once(api: str) -> None:
    answer = requests.post(api + T2I, json={"webhook_url": "nonsense"}, timeout=30)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "webhook_url"])


@pytest.mark.parametrize("page", [-1, 2**62, 10**30])
def test_pages_beyond_any_history_are_refused(api: str, page: int) -> None:
    answer = requests.get(f"{api}/v1/generation/job-history", params={"page": page}, timeout=30)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["query", "page"])


@pytest.mark.parametrize("sent", [{"files": {"image": PNG}}, {"data": {"image": bare(PNG)}}])
def test_a_picture_to_describe_is_a_file_or_text(api: str, sent: dict[str, Any]) -> None:
    answer = requests.post(f"{api}/v1/tools/describe-image", timeout=30, **sent)
    assert answer.json() == {"describe": "a tiny picture"}


@pytest.mark.parametrize("name", ["type", "image_type"])
@pytest.mark.parametrize(("place", "argument"), [("query", "params"), ("body", "data")])
def test_a_wrong_kind_of_picture_is_told_where_it_was_said(api: str, name: str, place: str, argument: str) -> None:
    said: dict[str, Any] = {argument: {name: "Oil"}}
    answer = requests.post(f"{api}/v1/tools/describe-image", files={"image": PNG}, timeout=30, **said)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, [place, name])


def test_stop_ends_what_runs_and_leaves_what_waits(api: str) -> None:
    first, waiting = submit(api, prompt="600 seconds"), submit(api)
    running(api, first["job_id"])
    assert stop(api) == {"msg": "success"}
    assert ended(api, first["job_id"])["job_stage"] == "ERROR"
    assert ended(api, waiting["job_id"])["job_stage"] == "SUCCESS"


def test_stop_finds_the_running_job_behind_a_hundred_waiting_ones(tmp_path: Path) -> None:
    process = GatewayProcess(tmp_path / "gateway")
    with serving_gateway(process), joined(paper_worker(process, tmp_path)):
        first = submit(process.url, prompt="600 seconds")["job_id"]
        running(process.url, first)
        for _ in range(101):
            submit(process.url, prompt="60 seconds")
        queue = requests.get(f"{process.url}/v1/generation/job-history", timeout=30).json()["queue"]
        assert queue[0]["job_id"] == first
        stop(process.url)
        assert query(process.url, first)["job_stage"] == "ERROR"


def test_a_description_is_no_job(api: str) -> None:
    before = requests.get(f"{api}/v1/generation/job-queue", timeout=30).json()
    answer = requests.post(f"{api}/v1/tools/describe-image", files={"image": PNG}, timeout=30)
    assert answer.json() == {"describe": "a tiny picture"}
    assert requests.get(f"{api}/v1/generation/job-queue", timeout=30).json() == before
    described = requests.get(f"{api}/jobs", params={"limit": 1}, timeout=30).json()["jobs"][0]
    assert described["app"] == "v1/tools/describe-image"
    assert query(api, described["id"])["job_type"] == "Not Found"


def test_stop_while_nothing_runs_does_not_harm_the_next_job(api: str) -> None:
    stop(api)
    assert ended(api, submit(api)["job_id"])["job_stage"] == "SUCCESS"


def test_a_stopped_synchronous_call_says_so(api: str) -> None:
    answers: list[Any] = []
    body = {"prompt": "600 seconds", "image_seed": 5}
    call = threading.Thread(target=lambda: answers.append(requests.post(api + T2I, json=body, timeout=120).json()))
    call.start()
    until(lambda: requests.get(f"{api}/v1/generation/job-queue", timeout=30).json()["running_size"])
    until(lambda: requests.post(f"{api}/v1/generation/stop", timeout=30) and not call.is_alive(), pause_s=0.2)
    assert answers == [[{"base64": None, "url": None, "seed": "5", "finish_reason": "USER_CANCEL"}]]


def test_a_client_that_goes_away_cancels_its_synchronous_job(api: str) -> None:
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(api + T2I, json={"prompt": "600 seconds"}, timeout=(60, 1))
    until(lambda: requests.get(f"{api}/v1/generation/job-queue", timeout=30).json()["running_size"] == 0)


def test_history_has_pages_single_jobs_and_removal(api: str) -> None:
    ids = [ended(api, submit(api)["job_id"])["job_id"] for _ in range(3)]
    ask = f"{api}/v1/generation/job-history"
    page = requests.get(ask, params={"page_size": 2}, timeout=30).json()
    assert [job["job_id"] for job in page["history"]] == [ids[2], ids[1]]
    following = requests.get(ask, params={"page_size": 2, "page": 1}, timeout=30).json()
    assert (following["queue"], following["history"][0]["job_id"]) == ([], ids[0])
    one = requests.get(ask, params={"job_id": ids[0]}, timeout=30).json()["history"]
    assert [(job["job_id"], job["is_finished"]) for job in one] == [(ids[0], True)]
    assert one[0]["in_queue_mills"] <= one[0]["start_mills"] <= one[0]["finish_mills"]
    url = query(api, ids[0])["job_result"][0]["url"]
    gone = requests.get(ask, params={"job_id": ids[0], "delete": "true"}, timeout=30).json()
    assert gone == {"message": "Deleted"}
    assert query(api, ids[0])["job_type"] == "Not Found"
    until(lambda: requests.get(url, timeout=30).status_code == 404)
    assert requests.get(ask, params={"job_id": ids[0], "delete": "true"}, timeout=30).json() == {"message": "Not found"}


def test_both_paths_of_the_queue(api: str) -> None:
    last = submit(api)["job_id"]
    for path in ("/v1/generation/job-queue", "/v1/engines/job-queue"):
        assert requests.get(api + path, timeout=30).json()["last_job_id"] == last
    ended(api, last)


@pytest.mark.parametrize(
    "path", ["/v1/generation/image-enhance", "/v2/generation/image-enhance", "/v1/tools/generate_mask"]
)
def test_what_is_not_there_says_so(api: str, path: str) -> None:
    answer = requests.post(api + path, json={}, timeout=30)
    assert answer.status_code == 501
    assert "not implemented" in answer.json()["detail"]


def test_the_webhook_has_two_keys(api: str) -> None:
    with receiver() as (url, posts):
        job = submit(api, webhook_url=url)
        post = until(lambda: posts and posts[0])
    result = [{"url": image["url"], "seed": image["seed"]} for image in ended(api, job["job_id"])["job_result"]]
    assert list(post) == ["job_id", "job_result"]
    assert post["job_id"] == job["job_id"]
    assert [image["seed"] for image in post["job_result"]] == [image["seed"] for image in result]
    assert [Path(image["url"]).name for image in post["job_result"]] == [Path(image["url"]).name for image in result]


def test_the_webhook_of_the_command_line_is_told_each_outcome(tmp_path: Path) -> None:
    with receiver() as (url, posts):
        arguments = ("--webhook-url", url, "--allow-private-webhooks")
        process = GatewayProcess(tmp_path / "gateway", arguments)
        with serving_gateway(process), joined(paper_worker(process, tmp_path)):
            made, stopped = submit(process.url), submit(process.url, prompt="600 seconds", image_seed=5)
            running(process.url, stopped["job_id"])
            stop(process.url)
            failed = submit(process.url, prompt="out of memory")
            until(lambda: len(posts) == 3)
            picture = ended(process.url, made["job_id"])["job_result"][0]
    told = {post["job_id"]: post for post in posts}
    assert [list(post) for post in posts] == [["job_id", "job_result"]] * 3
    assert told[made["job_id"]]["job_result"] == [{"url": picture["url"], "seed": "1"}]
    assert told[stopped["job_id"]]["job_result"] == [{"url": None, "seed": "5"}]
    assert told[failed["job_id"]]["job_result"] == []


def test_a_full_queue_in_each_shape(tmp_path: Path) -> None:
    with serving_gateway(GatewayProcess(tmp_path, environment={"GATEWAY_MAX_QUEUED": "1"})) as gateway:
        assert submit(gateway.url)["job_stage"] == "WAITING"
        full = [{"base64": None, "url": None, "seed": "", "finish_reason": "QUEUE_IS_FULL"}]
        assert requests.post(gateway.url + T2I, json={}, timeout=30).json() == full
        refused = submit(gateway.url)
        assert list(refused) == KEYS
        assert (refused["job_id"], refused["job_stage"], refused["job_result"]) == ("", "ERROR", full)
        answer = requests.post(gateway.url + T2I, json={}, headers={"Accept": "image/png"}, timeout=30)
        assert (answer.status_code, answer.text) == (409, "QUEUE_IS_FULL")


def test_job_ids_survive_a_restart_and_one_error_locks_nothing(tmp_path: Path) -> None:
    process = GatewayProcess(tmp_path / "gateway")
    with serving_gateway(process):
        job = submit(process.url)
        process.kill()
        process.start()
        assert query(process.url, job["job_id"])["job_stage"] == "WAITING"
        with joined(paper_worker(process, tmp_path)):
            assert ended(process.url, job["job_id"])["job_stage"] == "SUCCESS"
            assert ended(process.url, submit(process.url)["job_id"])["job_stage"] == "SUCCESS"


def test_a_key_opens_and_its_absence_is_a_403(tmp_path: Path) -> None:
    with serving_gateway(GatewayProcess(tmp_path, environment={"GATEWAY_APIKEY": "the right key"})) as gateway:
        for path in ("/ping", "/v1/engines/styles", "/v1/generation/job-queue"):
            answer = requests.get(gateway.url + path, timeout=30)
            assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})
        headers = {"X-API-KEY": "the right key"}
        assert requests.get(gateway.url + "/ping", headers=headers, timeout=30).json() == "pong"
        assert requests.get(gateway.url + "/docs", timeout=30).status_code == 200


def test_blocking_calls_hold_no_thread_each(api: str) -> None:
    """Sixty waiting callers (the original has forty threads), and the server answers others at once."""
    first = submit(api, prompt="600 seconds")

    def wait() -> None:
        with contextlib.suppress(requests.RequestException):  # the gateway of these tests ends before all are served
            requests.post(api + T2I, json={}, timeout=120)

    calls = [threading.Thread(target=wait, daemon=True) for _ in range(60)]
    for call in calls:
        call.start()
    until(lambda: requests.get(f"{api}/v1/generation/job-queue", timeout=30).json()["running_size"] == 61)
    assert requests.get(f"{api}/ping", timeout=60).json() == "pong"
    assert requests.get(f"{api}/v1/generation/job-queue", timeout=30).json()["running_size"] == 61
    assert query(api, first["job_id"])["job_stage"] in ("RUNNING", "WAITING")
    stop(api)
