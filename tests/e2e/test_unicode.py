"""Text beyond ASCII travels unharmed from the request to the picture's metadata and back in error bodies."""

from __future__ import annotations

import json

import pytest

from tests.e2e.jobs import picture, small
from tests.support.client import Client

TEXTS = [
    "Grüße aus Zürich",
    "赛博朋克 城市 夜景",
    "قطة تحت المطر",
    "a fox 🦊👩‍🚀 \u202eabc",
    "e\u0301\u200b \u2028 line",
]


@pytest.mark.parametrize("scheme", ["fooocus", "a1111"])
def test_the_prompt_is_in_the_metadata_as_it_was_sent(client: Client, scheme: str) -> None:
    text = "; ".join(TEXTS[:4])
    advanced = {"save_metadata": True, "metadata_scheme": scheme}
    record = client.done(small(1, prompt=text, advanced=advanced))
    assert record["status"] == "COMPLETED", record.get("error")
    decoded = picture(record["output"]["images"][0]["url"])
    parameters = decoded.info["parameters"]
    prompt = json.loads(parameters)["prompt"] if scheme == "fooocus" else parameters.splitlines()[0]
    assert prompt == text


def test_any_text_renders(client: Client) -> None:
    text = "\n".join(TEXTS)
    assert client.done(small(1, prompt=text, negative_prompt=text))["status"] == "COMPLETED"


def test_an_error_repeats_what_was_wrong(client: Client) -> None:
    record = client.done(small(styles=["スタイル 🎨"]))
    assert record["status"] == "FAILED"
    assert record["output"]["detail"][0]["input"] == "スタイル 🎨"
