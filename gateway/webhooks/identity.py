"""Who signs: an Ed25519 key for fal's headers, and a secret per owner for Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.files.tokens import kept_secret

PREFIX = "whsec_"
"""How Standard Webhooks marks a secret."""


class Identity:
    """Keys of one gateway, drawn once and kept in `folder` (mode 0600)."""

    def __init__(self, folder: Path) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(kept_secret(folder / "ed25519"))
        self._master = kept_secret(folder / "secret")

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature, 64 bytes."""
        return self._key.sign(message)

    def jwks(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set (RFC 7517, RFC 8037). `x` is padded: fal's own sample receiver decodes
        it without padding it first."""
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(public).decode("ascii")}]}

    def secret(self, owner: str) -> str:
        """What receivers of this owner's webhooks verify Standard Webhooks' signature with."""
        digest = hmac.new(self._master, owner.encode(), hashlib.sha256).digest()
        return PREFIX + base64.b64encode(digest).decode("ascii")
