"""Where the bucket is, and what is called what in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from gateway.hosts import is_fetched
from gateway.settings import Settings
from gateway.urls import split_bucket
from schemas.bucket import guess_region


@dataclass(frozen=True)
class Place:
    """A bucket and the credentials for it. endpoint_url: scheme and host. prefix: no slash at its ends. region: None
    guesses it from well-known hosts, else us-east-1."""

    endpoint_url: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    name: str
    prefix: str = ""
    region: str | None = None

    @property
    def signing_region(self) -> str:
        return self.region or guess_region(urlsplit(self.endpoint_url).hostname or "")

    @property
    def shown(self) -> str:
        """It in words, as the beginning of a sentence for the operator."""
        return f"bucket {self.name} at {urlsplit(self.endpoint_url).netloc}"

    @property
    def id(self) -> str:
        """What tells it from any other place."""
        return f"{self.endpoint_url}/{self.name}/{self.prefix}"

    @property
    def at_usual_port(self) -> bool:
        """Whether workers read links to it."""
        return is_fetched(urlsplit(self.endpoint_url).netloc)

    def folder(self, lease: str) -> str:
        """What all keys of one lease begin with, without the slash."""
        return f"{self.prefix}/{lease}" if self.prefix else lease

    def key_of(self, url: str, lease: str) -> str | None:
        """The key in the lease's folder that a URL stands for, whether the bucket is in its host or in its path."""
        try:
            path = unquote(urlsplit(url).path)
        except ValueError:
            return None
        _, found, name = path.partition(f"/{self.folder(lease)}/")
        return f"{self.folder(lease)}/{name}" if found and name else None

    def config(self, lease: str) -> dict[str, Any]:
        """`s3Config` for a worker: it puts its pictures into the lease's folder. Holds the credentials."""
        told = {
            "accessId": self.access_key_id,
            "accessSecret": self.secret_access_key,
            "bucketName": self.name,
            "endpointUrl": self.endpoint_url,
            "objectPath": self.folder(lease),
        }
        # RunPod's own clients have no such key: it is sent only where it must be.
        return told if self.region is None else {**told, "region": self.region}


def place_of(settings: Settings) -> Place | None:
    """The configured bucket; None when there is none."""
    if not settings.bucket_endpoint_url:
        return None
    endpoint_url, name = split_bucket(settings.bucket_endpoint_url, settings.bucket_name)
    # The settings are whole or refused.
    return Place(
        endpoint_url=endpoint_url,
        access_key_id=_plain(settings.bucket_access_key_id),
        secret_access_key=_plain(settings.bucket_secret_access_key),
        name=name or "",
        prefix=settings.bucket_prefix,
        region=settings.bucket_region,
    )


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""
