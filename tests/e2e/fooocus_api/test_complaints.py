"""What the users of Fooocus-API complained about most, one test a complaint, in the order of its weight."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests

from tests.e2e.fooocus_api.calls import (
    RED,
    SIDE,
    T2I,
    bare,
    circle,
    ended,
    fetched,
    mask,
    paper_worker,
    pixels,
    query,
    running,
    stop,
    submit,
)
from tests.support.gateway import GatewayProcess, RemoteWorker, joined, serving_gateway, until
from tests.support.paper_worker import PNG
from tests.support.receiver import receiver

GROWTH = 64 * 2**20
"""Bytes by which a worker may grow over a few pictures, for what allocators keep."""


def drawn(host: str, path: str = T2I, **sent: Any) -> dict[str, Any]:
    """The one picture a synchronous call gives."""
    answer = requests.post(host + path, timeout=120, **(sent or {"json": {}}))
    assert answer.status_code == 200, answer.text
    (image,) = answer.json()
    return image


def test_1_no_job_wedges_the_queue(api: str) -> None:
    wrong, stopped, after = submit(api, image_number=33), submit(api, prompt="60 seconds"), submit(api)
    assert "detail" in wrong
    running(api, stopped["job_id"])
    stop(api)
    assert ended(api, stopped["job_id"])["job_stage"] == "ERROR"
    assert ended(api, after["job_id"])["job_stage"] == "SUCCESS"


def test_2_a_422_says_what_is_wrong_and_no_contract_changes_in_silence(api: str) -> None:
    older, newer = {"model_name": "a.safetensors"}, {"enabled": True, "model_name": "a.safetensors", "weight": 0.5}
    for lora in (older, newer):
        assert submit(api, loras=[lora])["job_stage"] == "WAITING"
    (detail,) = submit(api, loras=[{"weight": 1}])["detail"]
    assert (detail["loc"], detail["msg"]) == (["body", "loras", 0, "model_name"], "Field required")


def test_3_advanced_parameters_of_a_form_are_used(host: str) -> None:
    params = {"overwrite_width": 192, "overwrite_height": 256}
    form = {"advanced_params": json.dumps(params)}
    assert fetched(drawn(host, "/v1/generation/image-prompt", data=form)).size == (192, 256)


def test_4_base64_goes_both_ways(api: str) -> None:
    text = bare(circle())
    for picture in (text, text.rstrip("="), f"data:image/png;base64,{text}", "\n".join([text[:76], text[76:]])):
        body = {"input_image": picture, "require_base64": True}
        image = drawn(api, "/v2/generation/image-upscale-vary", json=body)
        assert base64.b64decode(image["base64"], validate=True) == PNG


def repainted(host: str, kind: str = "ImagePrompt", prompt: bytes | None = None) -> np.ndarray:
    """The circle with its middle repainted, after a control picture if there is one."""
    form, files = {"image_seed": 3, "cn_type1": kind}, {"input_image": circle(), "input_mask": mask()}
    files |= {} if prompt is None else {"cn_img1": prompt}
    return pixels(drawn(host, "/v1/generation/image-inpaint-outpaint", data=form, files=files))


@pytest.fixture(scope="module")
def plain(host: str) -> np.ndarray:
    """Without a control picture it is always the same."""
    first, again = repainted(host), repainted(host)
    assert (first == again).all()
    return first


@pytest.mark.parametrize("kind", ["ImagePrompt", "FaceSwap"])
def test_5_image_prompts_mix_with_inpainting_in_forms_too(host: str, plain: np.ndarray, kind: str) -> None:
    mixed = repainted(host, kind, circle())
    assert (plain[96:160, 96:160] != mixed[96:160, 96:160]).any()


def test_5_image_prompts_mix_with_upscaling_in_forms_too(host: str) -> None:
    form = {"image_seed": 3, "uov_method": "Vary (Strong)"}
    path = "/v1/generation/image-upscale-vary"
    plain = pixels(drawn(host, path, data=form, files={"input_image": circle()}))
    mixed = pixels(drawn(host, path, data=form, files={"input_image": circle(), "cn_img1": circle()}))
    assert (plain != mixed).any()


def test_6_a_mask_says_what_is_repainted(host: str) -> None:
    body = {"input_image": bare(circle()), "input_mask": bare(mask()), "image_seed": 3}
    picture = pixels(drawn(host, "/v2/generation/image-inpaint-outpaint", json=body)).astype(int)
    assert picture.shape == (SIDE, SIDE, 3)
    assert np.abs(picture[70:80, 120:136] - RED).max() < 10
    assert np.abs(picture[96:160, 96:160] - RED).mean() > 10


def test_7_jobs_run_side_by_side(tmp_path: Path) -> None:
    process = GatewayProcess(tmp_path / "gateway")
    workers = [paper_worker(process, tmp_path / name, name) for name in ("paper-1", "paper-2")]
    with serving_gateway(process), joined(*workers):
        jobs = [submit(process.url, prompt="600 seconds")["job_id"] for _ in workers]
        until(lambda: all(query(process.url, job)["job_stage"] == "RUNNING" for job in jobs))


def test_8_memory_does_not_grow_with_jobs(host: str, renderer: RemoteWorker) -> None:
    for _ in range(3):
        drawn(host)
    before = _of_process(renderer, "status", r"VmRSS:\s+(\d+) kB") * 1024
    assert before > 4 * GROWTH, "The process that holds the model"
    for _ in range(6):
        drawn(host)
    assert _of_process(renderer, "status", r"VmRSS:\s+(\d+) kB") * 1024 - before < GROWTH


def test_9_the_settings_are_those_of_fooocus(host: str) -> None:
    """Its values for Speed; that they give its pictures is shown for each part beside recorded runs."""
    body = {"performance_selection": "Speed", "advanced_params": {"overwrite_step": -1}, "image_seed": 7}
    said = json.loads(fetched(drawn(host, json=body)).info["parameters"])
    assert (said["steps"], said["sampler"], said["scheduler"]) == (30, "dpmpp_2m_sde_gpu", "karras")
    assert (said["guidance_scale"], said["sharpness"], said["seed"]) == (4.0, 2.0, "7")
    assert said["adm_guidance"] == "(1.5, 0.8, 0.3)"


def test_10_models_are_not_loaded_again_for_each_job(host: str, renderer: RemoteWorker) -> None:
    drawn(host)
    before = _of_process(renderer, "io", r"rchar: (\d+)")
    drawn(host)
    assert _of_process(renderer, "io", r"rchar: (\d+)") - before < 2**20


def test_11_progress_is_told_while_a_job_runs(api: str) -> None:
    job = submit(api, prompt="3 seconds")["job_id"]
    seen = [progress for progress in _progress(api, job) if 15 < progress < 100]
    assert len(set(seen)) > 3
    assert seen == sorted(seen)


def test_11_a_preview_is_there_while_a_job_runs(host: str) -> None:
    job = submit(host, advanced_params={"overwrite_step": 30}, aspect_ratios_selection="256*256")["job_id"]
    shown = until(lambda: query(host, job, require_step_preview="true")["job_step_preview"])
    assert base64.b64decode(shown, validate=True).startswith(b"\x89PNG")
    assert ended(host, job)["job_stage"] == "SUCCESS"


@pytest.mark.parametrize("text", ["192*256", "192x256", "192×256"])
def test_12_a_size_of_ones_own_is_the_pictures_size(host: str, text: str) -> None:
    assert fetched(drawn(host, json={"aspect_ratios_selection": text})).size == (192, 256)


def test_13_every_upscale_works_and_has_a_seed(host: str) -> None:
    body = {"input_image": bare(circle()), "uov_method": "Upscale (Fast 2x)"}
    image = drawn(host, "/v2/generation/image-upscale-vary", json=body)
    assert image["seed"].isdigit()
    width, height = fetched(image).size
    assert width == height >= 2 * SIDE


def test_14_a_webhook_names_the_job_and_links_that_work(api: str) -> None:
    with receiver() as (url, posts):
        jobs = {submit(api, webhook_url=url)["job_id"] for _ in range(2)}
        until(lambda: len(posts) == 2)
    assert {post["job_id"] for post in posts} == jobs
    for post in posts:
        link = post["job_result"][0]["url"]
        assert urlsplit(link)[:2] == urlsplit(api)[:2]
        assert requests.get(link, timeout=30).content == PNG


@pytest.mark.parametrize(("extension", "format"), [("jpg", "JPEG"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_15_format_name_and_metadata_are_the_callers(host: str, extension: str, format: str) -> None:
    body = {"save_extension": extension, "save_name": "mine", "save_meta": False, "image_seed": 9}
    image = drawn(host, json=body)
    assert (image["seed"], Path(urlsplit(image["url"]).path).stem) == ("9", "mine-0")
    picture = fetched(image)
    assert picture.format == format
    assert not {"parameters", "exif"} & picture.info.keys()


def _progress(api: str, job: str) -> Iterator[int]:
    """`job_progress` until the job has ended."""
    while (now := query(api, job))["job_stage"] in ("WAITING", "RUNNING"):
        yield now["job_progress"]


def _of_process(worker: RemoteWorker, file: str, pattern: str) -> int:
    """A number that the system knows of the worker's process."""
    found = re.search(pattern, Path(f"/proc/{worker.pid}/{file}").read_text())
    assert found
    return int(found[1])
