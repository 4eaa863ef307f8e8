"""Pictures inside the result itself."""

from __future__ import annotations

import base64


class InlineStore:
    """Returns data URIs (RFC 2397): for `sync_mode`, and for a queue without any storage."""

    def put(self, name: str, data: bytes, content_type: str) -> str:
        return f"data:{content_type};base64,{base64.b64encode(data).decode()}"

    def remove(self, name: str) -> None:
        """Nothing was kept."""
