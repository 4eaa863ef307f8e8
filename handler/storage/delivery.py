"""A request sent until it is answered: address check, tries, pauses."""

from __future__ import annotations

import enum
import logging
import time
from http.client import HTTPException

from handler.media.addresses import is_permitted
from handler.media.resolver import Resolver, resolve, system_resolver
from handler.media.urls import Target
from handler.storage.exchange import Answer, Request, exchange
from handler.storage.patience import Patience

log = logging.getLogger(__name__)


class NoAnswer(Exception):
    """The server could not be reached or broke off, at every try."""


class ForbiddenAddress(Exception):
    """The host has no address, or one that may not be used."""


class Reach(enum.Enum):
    """Which addresses a connection may go to. ANY is for what the operator configured."""

    ANY = enum.auto()
    PUBLIC_AND_PRIVATE = enum.auto()
    PUBLIC = enum.auto()

    @classmethod
    def of_user(cls, allow_private: bool) -> Reach:
        """For what came with a job."""
        return cls.PUBLIC_AND_PRIVATE if allow_private else cls.PUBLIC

    def permits(self, address: str) -> bool:
        return self is Reach.ANY or is_permitted(address, allow_private=self is Reach.PUBLIC_AND_PRIVATE)


def locate(target: Target, reach: Reach, seconds: float, resolver: Resolver = system_resolver) -> list[str]:
    """The addresses of `target`. ForbiddenAddress unless every one may be used, OSError when it has none."""
    addresses = [target.host] if target.is_address else resolve(resolver, target.host, target.port, seconds)
    if not all(reach.permits(address) for address in addresses):
        raise ForbiddenAddress
    return addresses


def deliver(request: Request, reach: Reach, patience: Patience, resolver: Resolver = system_resolver) -> Answer:
    """Send `request` until it is answered by something that trying again would not change.

    The connection goes to exactly the addresses that were checked, at each try anew. Returns the last answer,
    which may be a refusal. Raises NoAnswer, and ForbiddenAddress at once. Ends within `patience.total_s`.
    """
    deadline = time.monotonic() + patience.total_s
    answer: Answer | None = None
    for attempt in range(patience.attempts):
        answer = _try(request, reach, patience, deadline, resolver)
        if answer is not None and not answer.transient:
            return answer
        pause = patience.pause(attempt)
        if attempt + 1 == patience.attempts or time.monotonic() + pause >= deadline:
            break
        log.info("Storage: try %d failed (%s), next in %.1f s", attempt + 1, _outcome(answer), pause)
        time.sleep(pause)
    if answer is None:
        raise NoAnswer
    return answer


def _try(request: Request, reach: Reach, patience: Patience, deadline: float, resolver: Resolver) -> Answer | None:
    try:
        seconds = min(patience.connect_s, max(deadline - time.monotonic(), 0))
        addresses = locate(request.target, reach, seconds, resolver)
        return exchange(request, addresses, patience, deadline)
    except (OSError, HTTPException):
        return None


def _outcome(answer: Answer | None) -> str:
    return "no answer" if answer is None else f"HTTP {answer.status}"
