"""What an exchange with the endpoint, or with the bucket on the way to it, can come to. Their texts are for the
operator: no key, no body, no URL."""

from __future__ import annotations


class EndpointError(Exception):
    """No use. retry_after_s: when the endpoint said to come again."""

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Unavailable(EndpointError):
    """Nothing that could be used came back this time; whether the call had an effect is not known."""


class Denied(EndpointError):
    """The endpoint takes nothing from us until somebody changes a setting."""


class Refused(EndpointError):
    """The endpoint does not take this request. status: 400, 413 or 422."""

    def __init__(self, status: int) -> None:
        super().__init__(f"it refused a job with HTTP {status}")
        self.status = status


class Gone(EndpointError):
    """The endpoint knows no such job (any more)."""


class BucketError(EndpointError):
    """The bucket pictures travel by did not do what was asked. passes: it may do so later, by itself."""

    def __init__(self, text: str, *, passes: bool) -> None:
        super().__init__(text)
        self.passes = passes
