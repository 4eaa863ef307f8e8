"""Pictures in an S3 bucket."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

from handler.storage import signer
from handler.storage.delivery import ForbiddenAddress, NoAnswer, Reach, deliver
from handler.storage.exchange import Answer, Request
from handler.storage.names import safe_name
from handler.storage.patience import ONE_TRY, Patience
from handler.storage.refusal import refusal_of
from handler.storage.target import S3Target
from schemas.bucket import Refusal
from schemas.errors import FieldError, FooocusError, StorageUnavailable

log = logging.getLogger(__name__)

_PROBE = "worker-check.txt"
_PROBED = b"This object shows that a worker can write here. It may be deleted.\n"

# Refusals that only the job's own `s3Config` can have caused, and the field to look at.
_FIELDS: dict[Refusal, Sequence[str]] = {
    Refusal.CREDENTIALS: ("s3Config",),
    Refusal.BUCKET: ("s3Config", "bucketName"),
    Refusal.REGION: ("s3Config", "endpointUrl"),
    Refusal.ADDRESS: ("s3Config", "endpointUrl"),
    Refusal.OTHER: ("s3Config",),
}


class S3Store:
    """Keeps the files of one job at `<prefix>/<job id>/<file name>`; links are presigned or public."""

    def __init__(self, target: S3Target, job_id: str, reach: Reach, patience: Patience) -> None:
        self._target = target
        self._folder = safe_name(job_id)
        self._reach = reach
        self._patience = patience

    def put(self, name: str, data: bytes, content_type: str) -> str:
        """See Store. InvalidInput names the field of `s3Config` when the job's own bucket refuses."""
        key = self._key(name)
        request = signer.put_request(self._target, key, data, content_type)
        refusal = _refusal(request, self._reach, self._patience)
        if refusal is not None:
            raise self._error(refusal)
        return signer.link(self._target, key)

    def remove(self, name: str) -> None:
        with contextlib.suppress(NoAnswer, ForbiddenAddress):
            deliver(signer.delete_request(self._target, self._key(name)), self._reach, ONE_TRY)

    def _key(self, name: str) -> str:
        return self._target.key(self._folder, safe_name(name))

    def _error(self, refusal: Refusal) -> FooocusError:
        if self._target.from_job:
            log.warning("Storage: the bucket of a job %s", refusal.value)
            if refusal in _FIELDS:
                return FieldError(_FIELDS[refusal], message=f"The bucket {refusal.value}")
            return StorageUnavailable()
        log.error("Storage: %s", _sentence(self._target, refusal))
        return StorageUnavailable(f"The images were made but the storage {refusal.value}")


def reachable(target: S3Target, patience: Patience) -> None:
    """Prove that `target` takes a file and gives it back: write, read, delete a small object.

    Raises StorageUnavailable with words for the operator, such as `bucket pictures at s3.example.com refuses
    these credentials`. Whether the object can be deleted does not matter.
    """
    key = target.key("", _PROBE)
    requests = [signer.put_request(target, key, _PROBED, "text/plain")]
    if not target.public_url:
        requests.append(signer.get_request(target, key))
    for request in requests:
        refusal = _refusal(request, Reach.ANY, patience)
        if refusal is not None:
            raise StorageUnavailable(_sentence(target, refusal))
    with contextlib.suppress(NoAnswer):
        deliver(signer.delete_request(target, key), Reach.ANY, ONE_TRY)


def _refusal(request: Request, reach: Reach, patience: Patience) -> Refusal | None:
    """Send `request`; None when it succeeded."""
    try:
        answer: Answer = deliver(request, reach, patience)
    except NoAnswer:
        return Refusal.SILENT
    except ForbiddenAddress:
        return Refusal.ADDRESS
    return None if answer.ok else refusal_of(answer)


def _sentence(target: S3Target, refusal: Refusal) -> str:
    return f"bucket {target.bucket_name} at {urlsplit(target.endpoint_url).netloc} {refusal.value}"
