"""What every place for pictures can do."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """The pictures of one job. All methods block and may be called from several threads at once."""

    def put(self, name: str, data: bytes, content_type: str) -> str:
        """Keep `data` under `name` and return the URL a client can GET.

        The file is complete once this returns and absent when it raises; the same name again replaces it.
        Raises StorageUnavailable, or InvalidInput when the job itself named an unusable place.
        """
        ...

    def remove(self, name: str) -> None:
        """Take back what `put` stored under `name`, as far as the place allows. Never raises."""
        ...
