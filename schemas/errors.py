"""Every failure a user can see, as one tree.

    FooocusError                      code                            status  retryable
    ├── InvalidInput                  invalid_input                   422     no     fal's `detail` list
    │   ├── FeatureNotSupported       feature_not_supported           422     no
    │   ├── FileDownloadError         file_download_error             422     no
    │   ├── FileTooLarge              file_too_large                  422     no
    │   ├── ImageLoadError            image_load_error                422     no
    │   ├── ImageTooLarge             image_too_large                 422     no
    │   ├── ImageTooSmall             image_too_small                 422     no
    │   ├── UnsupportedImageFormat    unsupported_image_format        422     no
    │   └── ModelLoadError            model_load_error                422     no
    ├── OutOfMemory                   out_of_memory                   500     yes
    ├── DeviceLost                    device_lost                     500     yes    asks for a new worker
    ├── SafetyCheckFailed             safety_check_failed             500     yes
    ├── StorageUnavailable            downstream_service_unavailable  500     yes
    ├── ResultTooLarge                result_too_large                500     no
    ├── ModelMissing                  model_missing                   500     no
    ├── BadRequest                    bad_request                     400     no
    ├── UnsupportedEncoding           unsupported_encoding            415     no
    ├── InternalError                 internal_server_error           500     yes
    │   What only the gateway raises:
    ├── Unauthorized                  unauthorized                    401     no
    ├── NotFound                      not_found                       404     no
    ├── JobNotFound                   job_not_found                   404     no
    ├── RetryRefused                  retry_refused                   400     no
    ├── PayloadTooLarge               payload_too_large               413     no
    ├── IdempotencyConflict           idempotency_conflict            422     no
    ├── QueueFull                     queue_full                      429     yes    `retry_after_s`
    ├── RateLimited                   rate_limited                    429     yes    `retry_after_s`
    ├── JobCancelled                  client_cancelled                499     no
    ├── StoreDamaged                  store_damaged                   500     no     at start
    ├── StoreInUse                    store_in_use                    500     no     at start
    ├── StoreTooNew                   store_too_new                   500     no     at start
    ├── ShuttingDown                  shutting_down                   503     yes    `retry_after_s`
    ├── StoreUnavailable              store_unavailable               503     yes    `retry_after_s`
    ├── WorkerLost                    worker_lost                     503     no
    ├── StartTimeout                  startup_timeout                 504     no
    └── ExecutionTimeout              generation_timeout              504     no

The docstring of a class is its default message. `{names}` in it are filled from the error's `ctx`.
Codes and `ctx` keys of the 422 family are fal's (https://docs.fal.ai/errors).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from pydantic import ValidationError

Location = tuple[str | int, ...]

MAX_ECHOED_INPUT = 256
"""Longest string (characters) given back as `input`; a data URI of megabytes is not repeated."""


def echo(value: Any) -> Any:
    """Return `value` as it may be repeated in an error body: JSON types only, long strings shortened."""
    if isinstance(value, str) and len(value) > MAX_ECHOED_INPUT:
        return value[:MAX_ECHOED_INPUT] + "…"
    if isinstance(value, dict):
        return {str(key): echo(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [echo(item) for item in value]
    plain = value is None or isinstance(value, str | bool | int)
    return value if plain or (isinstance(value, float) and math.isfinite(value)) else str(value)


class FooocusError(Exception):
    """The request failed"""

    code: ClassVar[str] = "internal_server_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))

    @property
    def detail(self) -> Any:
        """The body a door puts under `detail`: text here, fal's list of objects for invalid input."""
        return str(self)

    def line(self) -> str:
        """One line `CODE: text`, the form a RunPod worker reports."""
        return f"{self.code.upper()}: {self}"


class InvalidInput(FooocusError):
    """The input is not valid"""

    code = "invalid_input"
    status = 422

    def __init__(self, details: Sequence[dict[str, Any]]) -> None:
        self.details = list(details)
        super().__init__("; ".join(f"{'.'.join(map(str, d['loc']))}: {d['msg']}" for d in self.details))

    @property
    def detail(self) -> list[dict[str, Any]]:
        return self.details

    @classmethod
    def from_pydantic(cls, error: ValidationError, prefix: Location = ("body",)) -> InvalidInput:
        """Turn a pydantic error into fal's list: `loc` from the body, `msg`, `type`, `ctx`, `input`."""
        return cls([_pydantic_detail(item, prefix) for item in error.errors(include_url=False)])

    @classmethod
    def joined(cls, errors: Iterable[InvalidInput]) -> InvalidInput:
        """One error that lists the details of several."""
        return cls([detail for error in errors for detail in error.details])


def _pydantic_detail(item: Any, prefix: Location) -> dict[str, Any]:
    detail = {"loc": [*prefix, *item["loc"]], "msg": item["msg"], "type": item["type"]}
    if "ctx" in item:
        detail["ctx"] = {key: echo(value) for key, value in item["ctx"].items()}
    if item["type"] != "missing":
        detail["input"] = echo(item["input"])
    return detail


class FieldError(InvalidInput):
    """The value of this field cannot be used"""

    code = "value_error"

    def __init__(
        self, loc: Sequence[str | int], *, input: Any = None, message: str | None = None, **ctx: Any
    ):
        text = message or inspect.cleandoc(type(self).__doc__ or "").format(**ctx)
        detail: dict[str, Any] = {"loc": list(loc), "msg": text, "type": type(self).code}
        if ctx:
            detail["ctx"] = ctx
        if input is not None:
            detail["input"] = echo(input)
        super().__init__([detail])


class FeatureNotSupported(FieldError):
    """This feature is not supported by this worker"""

    code = "feature_not_supported"


class FileDownloadError(FieldError):
    """Failed to download the file. Check that the URL is public and try again"""

    code = "file_download_error"


class FileTooLarge(FieldError):
    """The file is larger than {max_size} bytes"""

    code = "file_too_large"


class ImageLoadError(FieldError):
    """Failed to load the image. Check that the file is not damaged"""

    code = "image_load_error"


class ImageTooLarge(FieldError):
    """The image is too large: at most {max_width}x{max_height} and {max_pixels} pixels"""

    code = "image_too_large"


class ImageTooSmall(FieldError):
    """The image is too small: at least {min_width}x{min_height}"""

    code = "image_too_small"


class UnsupportedImageFormat(FieldError):
    """The image format is not supported. Supported formats: {supported_formats}"""

    code = "unsupported_image_format"


class ModelLoadError(FieldError):
    """The file is not a usable model of the expected kind"""

    code = "model_load_error"


class OutOfMemory(FooocusError):
    """The GPU ran out of memory for this request. Try a smaller size or fewer images"""

    code = "out_of_memory"
    retryable = True


class DeviceLost(FooocusError):
    """The GPU stopped answering; this worker asks to be replaced"""

    code = "device_lost"
    retryable = True


class SafetyCheckFailed(FooocusError):
    """The safety checker could not run, so the images are not released"""

    code = "safety_check_failed"
    retryable = True


class StorageUnavailable(FooocusError):
    """The images were made but the object storage did not take them"""

    code = "downstream_service_unavailable"
    retryable = True


class ResultTooLarge(FooocusError):
    """The result is too large to be returned inline. Configure object storage or ask for jpeg or webp"""

    code = "result_too_large"


class ModelMissing(FooocusError):
    """A model file this worker needs is not installed"""

    code = "model_missing"


class InternalError(FooocusError):
    """Something went wrong in the worker"""

    retryable = True


class BadRequest(FooocusError):
    """The request cannot be read"""

    code = "bad_request"
    status = 400


class UnsupportedEncoding(FooocusError):
    """Compressed request bodies are not taken"""

    code = "unsupported_encoding"
    status = 415


class NotFound(FooocusError):
    """There is nothing here"""

    code = "not_found"
    status = 404


class Unauthorized(FooocusError):
    """The key is missing or not valid"""

    code = "unauthorized"
    status = 401


class JobNotFound(FooocusError):
    """There is no such request"""

    code = "job_not_found"
    status = 404


class RetryRefused(FooocusError):
    """Only a failed request can be tried again"""

    code = "retry_refused"
    status = 400


class PayloadTooLarge(FooocusError):
    """The request body is too large"""

    code = "payload_too_large"
    status = 413


class IdempotencyConflict(FooocusError):
    """This Idempotency-Key was used with another request body"""

    # 422, as the IETF draft of the header has it: fal's clients take 409 for "try again".
    code = "idempotency_conflict"
    status = 422


class JobCancelled(FooocusError):
    """The request was cancelled"""

    code = "client_cancelled"
    status = 499


class StoreDamaged(FooocusError):
    """The database gateway.sqlite3 in the data folder is damaged. Nothing was changed: restore it from a copy, or move
    it away to start empty
    """

    code = "store_damaged"


class StoreInUse(FooocusError):
    """The data folder is in use by another gateway. Stop that one or choose another folder with --data"""

    code = "store_in_use"


class StoreTooNew(FooocusError):
    """The database in the data folder was written by a newer version of this program"""

    code = "store_too_new"


class TryLater(FooocusError):
    """The gateway cannot take the request now. Try again later"""

    status = 503
    retryable = True

    def __init__(self, retry_after_s: float = 5) -> None:
        super().__init__()
        self.retry_after_s = max(1, math.ceil(retry_after_s))


class QueueFull(TryLater):
    """Too many requests are waiting. Try again later"""

    code = "queue_full"
    status = 429


class RateLimited(TryLater):
    """This key has submitted as many requests as it may for now"""

    code = "rate_limited"
    status = 429


class ShuttingDown(TryLater):
    """The gateway is shutting down. Try again later"""

    code = "shutting_down"


class StoreUnavailable(TryLater):
    """The gateway cannot record requests now. Nothing was accepted: check that its disk is not full"""

    code = "store_unavailable"


class WorkerLost(FooocusError):
    """Every worker that took this request was lost while working on it"""

    code = "worker_lost"
    status = 503


class StartTimeout(FooocusError):
    """The request did not start within its time limit"""

    code = "startup_timeout"
    status = 504


class ExecutionTimeout(FooocusError):
    """The request ran longer than its time limit"""

    code = "generation_timeout"
    status = 504


class FileMissing(FooocusError):
    """There is no such file, or it has expired"""

    code = "file_missing"
    status = 404


class StorageFull(FooocusError):
    """The gateway's disk is full: nothing was stored"""

    code = "storage_full"
    status = 507
