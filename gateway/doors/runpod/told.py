"""Which results have been streamed: a stream gives each piece once, and its reader stops at an empty one."""

from __future__ import annotations

from collections import OrderedDict

_MOST = 10_000


class Told:
    """The latest jobs whose result was streamed."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def first(self, job_id: str) -> bool:
        """Whether this is the first time of asking."""
        if job_id in self._ids:
            return False
        self._ids[job_id] = None
        if len(self._ids) > _MOST:
            self._ids.popitem(last=False)
        return True
