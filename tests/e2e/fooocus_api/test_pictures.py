"""Pictures through the door: previews on the way, names, formats, metadata, seeds, and pictures that are none."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.e2e.fooocus_api.calls import T2I, bare, circle, fetched
from tests.e2e.fooocus_api.conftest import Finished
from tests.support.gateway import until

BROKEN = base64.b64encode(b"\x89PNG\r\n\x1a\nbroken").decode()


def test_a_step_preview_is_a_png_while_the_job_runs(host: str, finished: Finished) -> None:
    body = {"async_process": True, "advanced_params": {"overwrite_step": 30}, "aspect_ratios_selection": "512*512"}
    job = requests.post(host + T2I, json=body, timeout=30).json()
    ask = {"job_id": job["job_id"], "require_step_preview": "true"}

    def preview() -> str | None:
        return requests.get(f"{host}/v1/generation/query-job", params=ask, timeout=30).json()["job_step_preview"]

    picture = Image.open(io.BytesIO(base64.b64decode(until(preview), validate=True)))
    assert picture.format == "PNG"
    plain = requests.get(f"{host}/v1/generation/query-job", params={"job_id": job["job_id"]}, timeout=30).json()
    assert plain["job_step_preview"] is None
    assert finished(job["job_id"])["job_stage"] == "SUCCESS"


def test_several_pictures_have_names_and_seeds_that_count_on(host: str) -> None:
    body = {"image_number": 2, "image_seed": 41, "save_name": "../my bear", "save_extension": "webp"}
    images = requests.post(host + T2I, json=body, timeout=120).json()
    assert [image["seed"] for image in images] == ["41", "42"]
    assert [Path(image["url"]).name for image in images] == ["my_bear-0.webp", "my_bear-1.webp"]
    first, second = map(fetched, images)
    assert (first.format, second.format) == ("WEBP", "WEBP")
    assert first.tobytes() != second.tobytes()


def test_the_same_seed_gives_the_same_picture(host: str) -> None:
    body = {"prompt": "a green circle on a white background", "image_seed": 5}
    made = [requests.post(host + T2I, json=body, timeout=120).json()[0] for _ in range(2)]
    assert fetched(made[0]).tobytes() == fetched(made[1]).tobytes()


@pytest.mark.parametrize(("scheme", "check"), [("fooocus", "metadata_scheme"), ("a1111", "Steps: 2")])
def test_metadata_of_both_schemes(host: str, scheme: str, check: str) -> None:
    body = {"prompt": "a bear", "meta_scheme": scheme, "image_seed": 7}
    text = fetched(requests.post(host + T2I, json=body, timeout=120).json()[0]).info["parameters"]
    assert check in text
    assert "a bear" in text
    if scheme == "fooocus":
        assert json.loads(text)["seed"] == "7"


def test_metadata_can_be_left_out(host: str) -> None:
    image = requests.post(host + T2I, json={"save_meta": False}, timeout=120).json()[0]
    assert "parameters" not in fetched(image).info


@pytest.mark.parametrize("text", ["https://127.0.0.1/a.png", BROKEN])
def test_a_picture_that_cannot_be_had_is_a_422_at_its_field(host: str, text: str) -> None:
    body = {"input_image": text, "uov_method": "Vary (Subtle)"}
    answer = requests.post(f"{host}/v2/generation/image-upscale-vary", json=body, timeout=120)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"][0]["loc"] == ["body", "input_image"]


def test_such_a_job_says_so_when_it_is_asked_about(host: str, finished: Finished) -> None:
    body = {"input_image": "https://127.0.0.1/a.png", "async_process": True}
    job = finished(requests.post(f"{host}/v2/generation/image-upscale-vary", json=body, timeout=30).json()["job_id"])
    assert (job["job_stage"], job["job_result"]) == ("ERROR", None)
    assert job["job_status"].startswith("body.input_image: ")


def test_a_broken_picture_is_told_in_full_when_the_picture_itself_was_asked_for(host: str) -> None:
    body = {"input_image": BROKEN, "uov_method": "Vary (Subtle)"}
    headers = {"Accept": "image/png"}
    answer = requests.post(f"{host}/v2/generation/image-upscale-vary", json=body, headers=headers, timeout=120)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "input_image"]


def test_a_broken_image_prompt_is_told_by_its_place_in_the_list(host: str, finished: Finished) -> None:
    body = {"image_prompts": [{}, {"cn_img": bare(circle())}, {"cn_img": ""}, {"cn_img": BROKEN}]}
    path = f"{host}/v2/generation/image-prompt"
    detail = requests.post(path, json=body, timeout=120).json()["detail"][0]
    assert detail["loc"] == ["body", "image_prompts", 3, "cn_img"]
    job = requests.post(path, json={**body, "async_process": True}, timeout=120).json()
    assert finished(job["job_id"])["job_status"].startswith("body.image_prompts.3.cn_img: ")


def test_a_broken_image_prompt_of_a_form_is_told_by_its_field(host: str, finished: Finished) -> None:
    path, files = f"{host}/v1/generation/image-prompt", {"cn_img3": base64.b64decode(BROKEN)}
    assert requests.post(path, files=files, timeout=120).json()["detail"][0]["loc"] == ["body", "cn_img3"]
    job = requests.post(path, data={"async_process": "true"}, files=files, timeout=120).json()
    assert finished(job["job_id"])["job_status"].startswith("body.cn_img3: ")
