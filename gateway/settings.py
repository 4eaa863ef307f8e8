"""The operator's settings: environment variables, read once at start; flags of the command line win over them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.urls import is_base, split_bucket
from gateway.webhooks import target
from schemas.bucket import check_bucket, check_prefix, check_region

MIB = 2**20
MAX_LOCAL = 64
_VISIBLE = re.compile(r"[!-~]*")
_BUCKET = ("endpoint_url", "access_key_id", "secret_access_key")


class Settings(BaseSettings):
    """Each field is the environment variable `GATEWAY_<NAME>`; its description is the README's text."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True, extra="ignore")

    host: Annotated[str, Field(description="Address to listen on. Others than loopback need a key")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one")] = 8888
    tls_port: Annotated[
        int | None, Field(ge=0, le=65535, description="Port for HTTPS beside it; also lets `HTTPS_PROXY` lead here")
    ] = None
    tls_cert: Annotated[
        Path | None, Field(description="PEM file with your certificate. Unset: one is made in the data folder's `tls/`")
    ] = None
    tls_key: Annotated[Path | None, Field(description="PEM file with its key, when that is another file")] = None
    data: Annotated[Path, Field(description="Folder of the queue, the files and the logs")] = Path("gateway-data")
    public_url: Annotated[
        str | None,
        Field(description="Address clients reach this gateway at, for links. Unset: the one each request used"),
    ] = None
    webhook_url: Annotated[
        str | None, Field(description="Address that is told the end of jobs, in the words of the door they came by")
    ] = None
    trust_forwarded: Annotated[
        bool, Field(description="Believe `X-Forwarded-Proto`, `-Host` and `-Prefix` (behind a proxy of your own)")
    ] = False
    allowed_hosts: Annotated[
        tuple[str, ...],
        Field(description="JSON list of further host names a gateway without keys answers to"),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Field(description="JSON list of web origins whose pages are served. Without keys `*` means this machine's"),
    ] = ("*",)
    open_status: Annotated[
        bool, Field(description="Serve `/healthz`, `/readyz` and `/metrics` to other machines too")
    ] = False

    apikey: Annotated[
        SecretStr | None, Field(min_length=8, description="One key in plain text, beside those of `keys add`")
    ] = None
    key_jobs_per_minute: Annotated[
        int, Field(ge=0, description="Jobs one key may submit in a minute; 0: any number")
    ] = 0
    key_max_waiting: Annotated[int, Field(ge=0, description="Jobs of one key that may wait; 0: any number")] = 0

    max_body_bytes: Annotated[int, Field(ge=1024, description="Largest request body, uploads apart")] = 32 * MIB
    max_header_bytes: Annotated[int, Field(ge=1024, description="Largest request line and headers together")] = 32768
    max_json_depth: Annotated[int, Field(ge=4, le=200, description="Deepest nesting of a JSON body")] = 32

    allow_private_webhooks: Annotated[
        bool, Field(description="Send webhooks to loopback and private networks too (for local use)")
    ] = False
    webhook_first_timeout_s: Annotated[
        float, Field(gt=0, description="Seconds a receiver has to answer the first attempt of a webhook")
    ] = 15
    webhook_timeout_s: Annotated[
        float, Field(gt=0, description="Seconds a receiver has to answer each later attempt")
    ] = 120
    webhook_max_attempts: Annotated[int, Field(ge=1, description="How often a webhook is tried")] = 32
    webhook_first_delay_s: Annotated[
        float, Field(gt=0, description="Seconds between the first two attempts; the wait doubles each time")
    ] = 5
    webhook_max_delay_s: Annotated[float, Field(gt=0, description="Longest wait between two attempts")] = 3600

    workers: Annotated[int, Field(ge=0, le=MAX_LOCAL, description="Worker processes to run on this machine")] = 1
    worker_command: Annotated[
        tuple[str, ...], Field(description="JSON list: what runs as a worker. Unset: this project's worker")
    ] = ()
    worker_secret: Annotated[
        SecretStr | None,
        Field(min_length=16, description="What worker tokens are derived from. Unset: drawn once and kept in the data"),
    ] = None
    worker_hold_s: Annotated[
        float, Field(gt=0, le=60, description="Seconds a worker's request for a job is held open")
    ] = 20
    max_queued: Annotated[int, Field(ge=1, description="Jobs that may wait in all; more get 429")] = 10_000
    execution_timeout_s: Annotated[
        float, Field(gt=0, description="Seconds a job may run, unless its client says otherwise")
    ] = 600
    result_ttl_s: Annotated[float, Field(gt=0, description="Seconds a job's record is kept after its end")] = 86400
    file_ttl_s: Annotated[float, Field(gt=0, description="Seconds files are kept after the job's end")] = 86400
    lease_s: Annotated[
        float, Field(ge=1, description="Seconds without a sign of life after which a job is taken from its worker")
    ] = 30
    max_attempts: Annotated[int, Field(ge=1, description="How often a job is tried when its workers die")] = 3
    drain_s: Annotated[float, Field(ge=0, description="Seconds running jobs get to finish after SIGTERM")] = 30

    fleet: Annotated[
        Literal["local", "runpod"],
        Field(description="Who does the work: `local`, workers of one's own; `runpod`, a RunPod Serverless endpoint"),
    ] = "local"
    runpod_endpoint: Annotated[
        str,
        Field(
            validate_default=True, pattern=r"^[A-Za-z0-9_-]{0,64}$",
            description="Id of the RunPod endpoint jobs go to, with `GATEWAY_FLEET=runpod`",
        ),
    ] = ""  # fmt: skip
    runpod_api_key: Annotated[
        SecretStr | None, Field(validate_default=True, description="RunPod API key that may call this endpoint")
    ] = None
    runpod_base_url: Annotated[
        str,
        Field(
            pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$",
            description="Where endpoints are called; another gateway will do",
        ),
    ] = "https://api.runpod.ai/v2"
    runpod_jobs: Annotated[
        int, Field(ge=1, le=1000, description="Jobs at the endpoint at a time; the others wait here, in their order")
    ] = 10

    bucket_endpoint_url: Annotated[
        str | None,
        Field(
            description="S3 endpoint of a bucket by which pictures go to the RunPod endpoint and come back. Unset: "
            "none. A bucket in the host is understood"
        ),
    ] = None
    bucket_access_key_id: Annotated[
        SecretStr | None, Field(description="Its access key. The RunPod endpoint gets it with each job")
    ] = None
    bucket_secret_access_key: Annotated[
        SecretStr | None, Field(description="Secret of the access key. The RunPod endpoint gets it too")
    ] = None
    bucket_name: Annotated[str | None, Field(validate_default=True, description="Name of that bucket")] = None
    bucket_region: Annotated[
        str | None, Field(description="Its signing region. Unset: read from well-known hosts, else `us-east-1`")
    ] = None
    bucket_prefix: Annotated[str, Field(description="Folder inside that bucket for all jobs")] = ""

    preset: Annotated[
        str,
        Field(description="Defaults of Fooocus-API's door: a preset file of Fooocus (`….json`), or `default`"),
    ] = "default"
    models_dir: Annotated[
        Path,
        Field(
            validation_alias=AliasChoices("models_dir", "GATEWAY_MODELS_DIR", "FOOOCUS_MODELS_DIR"),
            description="Models folder Fooocus-API's door lists; unset, `FOOOCUS_MODELS_DIR` counts",
        ),
    ] = Path("models")

    @model_validator(mode="before")
    @classmethod
    def _no_local_workers(cls, values: Any) -> Any:
        """Beside an endpoint, workers on this machine are there only when asked for."""
        return {"workers": 0, **values} if values.get("fleet") == "runpod" else values

    @field_validator("public_url")
    @classmethod
    def _is_base(cls, value: str | None) -> str | None:
        url = (value or "").rstrip("/")
        if url and not is_base(url):
            raise ValueError("it should be an address like https://gpu.example or http://10.0.0.5:8888/prefix")
        return url or None

    @field_validator("webhook_url")
    @classmethod
    def _is_target(cls, value: str | None) -> str | None:
        try:
            if value:
                target.parse(value)
        except target.Refused as error:
            raise ValueError(str(error)) from None
        return value or None

    @field_validator("runpod_endpoint", "runpod_api_key")
    @classmethod
    def _given_for_runpod(cls, value: Any, info: ValidationInfo) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not text and info.data.get("fleet") == "runpod":
            raise ValueError("the fleet runpod needs it")
        if isinstance(value, SecretStr) and not _VISIBLE.fullmatch(text):
            raise ValueError("it has characters no key has")
        return value

    @field_validator("bucket_endpoint_url")
    @classmethod
    def _is_endpoint(cls, value: str | None) -> str | None:
        if value:
            split_bucket(value, None)
        return value or None

    @field_validator("bucket_access_key_id", "bucket_secret_access_key")
    @classmethod
    def _is_credential(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not _VISIBLE.fullmatch(value.get_secret_value()):
            raise ValueError("it has characters no key has")
        return value or None

    @field_validator("bucket_name")
    @classmethod
    def _completes_bucket(cls, value: str | None, info: ValidationInfo) -> str | None:
        """All of a bucket, or nothing: half of one would be found out by a job."""
        url = info.data.get("bucket_endpoint_url")
        name = (split_bucket(url, value or None)[1] if url else value) or None
        places = {f"bucket_{part}": info.data.get(f"bucket_{part}") for part in _BUCKET} | {"bucket_name": name}
        missing = [f"GATEWAY_{part}".upper() for part, told in places.items() if not told]
        if missing and len(missing) < len(places):
            raise ValueError(f"the bucket is configured only in part: {' and '.join(missing)} missing")
        return name and check_bucket(name)

    @field_validator("bucket_region")
    @classmethod
    def _is_region(cls, value: str | None) -> str | None:
        return check_region(value) if value else None

    @field_validator("bucket_prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        return check_prefix(value)
