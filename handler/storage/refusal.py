"""What a bucket's answer means."""

from __future__ import annotations

import re

from handler.storage.exchange import Answer
from schemas.bucket import Refusal

_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


def refusal_of(answer: Answer) -> Refusal:
    """Why a request was not done, by the answer's error code or status."""
    match = _CODE.search(answer.body)
    return Refusal.of(match[1].decode() if match else "", answer.status)
