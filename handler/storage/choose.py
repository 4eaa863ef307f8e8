"""Which place the pictures of a job go to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handler.storage.base import Store
from handler.storage.delivery import Reach
from handler.storage.inline import InlineStore
from handler.storage.job_config import parse_s3_config
from handler.storage.local import LocalStore
from handler.storage.s3 import S3Store, reachable
from handler.storage.settings import StorageSettings
from handler.storage.upload_url import parse_upload_url


def choose_store(
    job: Mapping[str, Any],
    settings: StorageSettings,
    *,
    inline: bool = False,
    on_platform: bool = True,
    allow_private: bool = False,
    allow_job_storage: bool = True,
) -> Store:
    """The store of `job`, a RunPod job dict: its `s3Config`, else the configured bucket, else its `uploadUrl`,
    else data URIs in the result or, for a run that is not on a platform, the outputs folder.

    inline: the caller wants data URIs whatever else there is. allow_private: the job may name hosts in private
    networks. allow_job_storage: whether `s3Config` and `uploadUrl` are read at all. Blocks for seconds where a
    name must be resolved. Raises InvalidInput.
    """
    if inline:
        return InlineStore()
    job_id = str(job["id"])
    patience = settings.patience()
    offered = job if allow_job_storage else {}
    if offered.get("s3Config") is not None:
        target = parse_s3_config(offered["s3Config"], allow_private=allow_private)
        return S3Store(target, job_id, Reach.of_user(allow_private), patience)
    configured = settings.target()
    if configured is not None:
        return S3Store(configured, job_id, Reach.ANY, patience)
    if offered.get("uploadUrl") is not None:
        return parse_upload_url(offered, allow_private=allow_private, trusted=settings.upload_origin, patience=patience)
    return InlineStore() if on_platform else LocalStore(settings.outputs_dir, job_id)


def check_storage(settings: StorageSettings) -> None:
    """Prove at start that the configured bucket works. Raises StorageUnavailable with words for the operator."""
    target = settings.target()
    if target is not None:
        reachable(target, settings.patience())
