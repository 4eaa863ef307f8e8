"""Where pictures go by default, read from environment variables once at start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from handler.media.urls import parse
from handler.storage.patience import Patience
from handler.storage.target import S3Target, split_endpoint
from schemas.bucket import WEEK_S, check_bucket, check_prefix, check_region

_DEFAULT = Patience()


def _check_base(url: str) -> str:
    parse(url)
    return url.rstrip("/")


class StorageSettings(BaseSettings):
    """The first three names are those of RunPod's own upload helper. Secrets stay out of repr and errors."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True, populate_by_name=True
    )

    bucket_endpoint_url: Annotated[
        str | None,
        Field(description="S3 endpoint: scheme and host. Unset: no bucket. A bucket in the host is understood"),
    ] = None
    bucket_access_key_id: Annotated[SecretStr | None, Field(description="Access key of the bucket")] = None
    bucket_secret_access_key: Annotated[SecretStr | None, Field(description="Secret of the access key")] = None
    bucket_name: Annotated[
        str | None, AfterValidator(lambda name: name and check_bucket(name)), Field(description="Name of the bucket")
    ] = None
    bucket_region: Annotated[
        str | None,
        AfterValidator(lambda name: name and check_region(name)),
        Field(description="Signing region. Unset: read from well-known hosts, else `us-east-1`"),
    ] = None
    bucket_prefix: Annotated[
        str, AfterValidator(check_prefix), Field(description="Folder inside the bucket for all pictures")
    ] = ""
    bucket_presign_seconds: Annotated[
        int, Field(ge=1, le=WEEK_S, description="Life of a link to a picture; a week is the most S3 allows")
    ] = WEEK_S
    bucket_public_url: Annotated[
        str | None,
        AfterValidator(lambda url: url and _check_base(url)),
        Field(description="Public address of the bucket's root; links then start with it and are not signed"),
    ] = None

    outputs_dir: Annotated[
        Path,
        Field(
            validation_alias="FOOOCUS_OUTPUTS_DIR",
            description="Folder for pictures of a run from the command line without other storage",
        ),
    ] = Path("outputs")
    upload_origin: Annotated[
        str | None,
        AfterValidator(lambda url: url and _check_base(url)),
        Field(
            validation_alias="FOOOCUS_UPLOAD_ORIGIN",
            description="Origin of your gateway, such as `http://10.0.0.5:8000`: a job's `uploadUrl` there is "
            "used although its address is private",
        ),
    ] = None
    upload_attempts: Annotated[
        int,
        Field(ge=1, le=20, validation_alias="FOOOCUS_UPLOAD_ATTEMPTS", description="Tries for each picture"),
    ] = _DEFAULT.attempts
    upload_seconds: Annotated[
        float,
        Field(
            gt=0,
            le=600,
            validation_alias="FOOOCUS_UPLOAD_SECONDS",
            description="Seconds for all tries of one picture, pauses included",
        ),
    ] = _DEFAULT.total_s

    @model_validator(mode="after")
    def _complete(self) -> StorageSettings:
        self.target()
        return self

    def target(self) -> S3Target | None:
        """The configured bucket, None when no `BUCKET_*` credential or place is set.

        ValueError, with words and without values, when it is configured only in part.
        """
        places = (self.bucket_endpoint_url, self.bucket_access_key_id, self.bucket_secret_access_key)
        if not any((*places, self.bucket_name)):
            return None
        endpoint, key_id, secret = self._credentials()
        try:
            endpoint, bucket = split_endpoint(endpoint, self.bucket_name)
        except ValueError as error:
            raise ValueError(f"BUCKET_ENDPOINT_URL {error}") from None
        if bucket is None:
            raise ValueError("BUCKET_NAME is missing, and BUCKET_ENDPOINT_URL does not hold it either")
        return S3Target(
            endpoint_url=endpoint,
            access_key_id=key_id,
            secret_access_key=secret,
            bucket_name=bucket,
            prefix=self.bucket_prefix,
            region=self.bucket_region,
            presign_s=self.bucket_presign_seconds,
            public_url=self.bucket_public_url,
        )

    def _credentials(self) -> tuple[str, str, str]:
        parts = {
            "BUCKET_ENDPOINT_URL": self.bucket_endpoint_url or "",
            "BUCKET_ACCESS_KEY_ID": _plain(self.bucket_access_key_id),
            "BUCKET_SECRET_ACCESS_KEY": _plain(self.bucket_secret_access_key),
        }
        missing = [name for name, value in parts.items() if not value]
        if missing:
            raise ValueError(f"the bucket is configured only in part: {' and '.join(missing)} missing")
        endpoint, key_id, secret = parts.values()
        return endpoint, key_id, secret

    def patience(self) -> Patience:
        """Limits of one upload."""
        return Patience(attempts=self.upload_attempts, total_s=self.upload_seconds)


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
