"""Bad input fails the job with one string `CODE: text` that names the field, with fal's detail list beside it."""

from __future__ import annotations

from typing import Any

from tests.e2e.jobs import ERROR_LINE, small
from tests.support.client import Client

Case = tuple[Any, list[Any]]

CASES: list[Case] = [
    (None, ["body"]),
    ("a cat", ["body"]),
    ({"prompt": "nul \x00"}, ["body", "prompt"]),
    ({"num_images": True}, ["body", "num_images"]),
    ({"styles": ["No Such Style"]}, ["body", "styles", 0]),
    ({"loras": [{"path": "x", "scale": 3}]}, ["body", "loras", 0, "scale"]),
    ({"advanced": {"overwrite_step": 100_000}}, ["body", "advanced", "overwrite_step"]),
    ({"advanced": {"save_name": "../../etc/passwd"}}, ["body", "advanced", "save_name"]),
    ({"endpoint": "inpaint"}, ["body", "inpaint_image_url"]),
    ({"performance": "Speed", "refiner_model": "realisticVisionV60B1_v51VAE.safetensors"}, ["body", "refiner_model"]),
]


def test_each_bad_input_names_its_field_and_costs_only_its_job(client: Client) -> None:
    ids = [client.run(body) for body, _ in CASES]
    for job_id, (body, loc) in zip(ids, CASES, strict=True):
        record = client.result(job_id)
        assert record["status"] == "FAILED", body
        assert isinstance(record["error"], str)
        assert ERROR_LINE.fullmatch(record["error"]), record["error"]
        assert ".".join(map(str, loc)) in record["error"]
        output = record["output"]
        assert loc in [detail["loc"] for detail in output["detail"]], output
        assert all({"loc", "msg", "type"} <= detail.keys() for detail in output["detail"])
        assert (output["status"], output["retryable"]) == (422, False)


def test_all_wrong_fields_are_named_at_once(client: Client) -> None:
    record = client.done(small(num_images=0, sharpness=-1, advanced={"clip_skip": 0}))
    assert [detail["loc"] for detail in record["output"]["detail"]] == [
        ["body", "sharpness"],
        ["body", "num_images"],
        ["body", "advanced", "clip_skip"],
    ]


def test_a_long_value_is_not_repeated_in_full(client: Client) -> None:
    record = client.done(small(output_format="data:image/png;base64," + "A" * 100_000))
    assert record["status"] == "FAILED"
    assert len(str(record)) < 4_000
