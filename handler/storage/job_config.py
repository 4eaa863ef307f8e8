"""`s3Config`: a bucket that a job brings along, in RunPod's spelling."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from handler.storage.delivery import Reach
from handler.storage.job_url import check_reach
from handler.storage.target import S3Target, split_endpoint
from schemas.bucket import check_bucket, check_prefix, check_region
from schemas.errors import FieldError, InvalidInput

_LOC = ("s3Config",)
_PRINTABLE = re.compile(r"[\x21-\x7e]{1,512}")


def _check_credential(text: str) -> str:
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("must be 1 to 512 printable characters")
    return text


_Credential = Annotated[str, AfterValidator(_check_credential)]


class S3Config(BaseModel):
    """The object as RunPod's clients send it, and an optional `region`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=to_camel)

    access_id: _Credential
    access_secret: Annotated[_Credential, Field(repr=False)]
    bucket_name: Annotated[str, AfterValidator(check_bucket)]
    endpoint_url: Annotated[str, Field(max_length=1024)]
    object_path: Annotated[str | None, AfterValidator(lambda path: check_prefix(path or ""))] = None
    region: Annotated[str | None, AfterValidator(lambda name: name and check_region(name))] = None


def parse_s3_config(value: Any, *, allow_private: bool) -> S3Target:
    """The bucket `value` describes. Resolves the endpoint's name, so it may block for seconds.

    InvalidInput names every wrong field (`["s3Config", "endpointUrl"]`) and repeats none of their values.
    """
    try:
        config = S3Config.model_validate(value)
    except ValidationError as error:
        raise _without_values(error) from None
    loc = (*_LOC, "endpointUrl")
    try:
        endpoint, bucket = split_endpoint(config.endpoint_url, config.bucket_name)
    except ValueError as error:
        raise FieldError(loc, message=f"The endpoint {error}") from None
    check_reach(endpoint, Reach.of_user(allow_private), loc)
    return S3Target(
        endpoint_url=endpoint,
        access_key_id=config.access_id,
        secret_access_key=config.access_secret,
        bucket_name=bucket or config.bucket_name,
        prefix=config.object_path or "",
        region=config.region or None,
        from_job=True,
    )


def _without_values(error: ValidationError) -> InvalidInput:
    """The details without `input`: any of them may hold the secret."""
    details = InvalidInput.from_pydantic(error, prefix=_LOC).details
    return InvalidInput([{key: item for key, item in detail.items() if key != "input"} for detail in details])
