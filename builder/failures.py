"""What goes wrong while model files are put in place.

Operators read these on the command line. No request ever meets them, so they are not in `schemas.errors`.
"""

from __future__ import annotations


class BuilderError(Exception):
    """One line that says what is wrong and what to do about it."""


class UnknownName(BuilderError):
    """The command line names something the catalogue does not have, or has more than once."""


class SourceRefused(BuilderError):
    """A source will not give the file, however often it is asked."""


class Interrupted(BuilderError):
    """A download stopped half way and may be continued.

    retry_after: seconds the server asked to wait, None when it did not say.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class FileDamaged(BuilderError):
    """The bytes are not those the catalogue describes."""
