"""What a bucket's answer means, in words."""

from __future__ import annotations

import enum
import re

from handler.storage.exchange import Answer

_CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")


class Refusal(enum.Enum):
    """Why a request failed. Each value ends a sentence that begins with the bucket."""

    CREDENTIALS = "refuses these credentials"
    BUCKET = "does not exist"
    REGION = "is in another region"
    CLOCK = "says that this machine's clock is wrong"
    DAMAGED = "received damaged data"
    FAILING = "answers with a server error"
    SILENT = "does not answer"
    ADDRESS = "has an address that is not allowed"
    OTHER = "refuses the request"

    @classmethod
    def of(cls, answer: Answer) -> Refusal:
        """By S3's error code, https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, or status."""
        match = _CODE.search(answer.body)
        code = match[1].decode() if match else ""
        return _BY_CODE.get(code) or _BY_STATUS.get(answer.status) or cls._by_class(answer.status)

    @classmethod
    def _by_class(cls, status: int) -> Refusal:
        if status >= 500:
            return cls.FAILING
        return cls.REGION if 300 <= status < 400 else cls.OTHER


_BY_CODE = {
    "AuthorizationHeaderMalformed": Refusal.REGION,
    "AuthorizationQueryParametersError": Refusal.REGION,
    "BadDigest": Refusal.DAMAGED,
    "NoSuchBucket": Refusal.BUCKET,
    "PermanentRedirect": Refusal.REGION,
    "RequestExpired": Refusal.CLOCK,
    "RequestTimeTooSkewed": Refusal.CLOCK,
    "SlowDown": Refusal.FAILING,
}

_BY_STATUS = {
    401: Refusal.CREDENTIALS,
    403: Refusal.CREDENTIALS,
    404: Refusal.BUCKET,
    408: Refusal.FAILING,
    429: Refusal.FAILING,
}
