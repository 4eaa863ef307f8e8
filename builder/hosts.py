"""Where requests may go and which secret goes with them: mirrors and access tokens from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HUGGING_FACE = "https://huggingface.co"
CIVITAI = "https://civitai.com"
TOKEN_VARIABLES = {HUGGING_FACE: "HF_TOKEN", CIVITAI: "CIVITAI_TOKEN"}
MIRROR_VARIABLES = ("HF_MIRROR", "HF_ENDPOINT")


def origin(url: str) -> str:
    """Scheme, host and port of a URL, lower-case: what a secret belongs to."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


@dataclass(frozen=True)
class Hosts:
    """mirror: base URL that replaces Hugging Face's, None for itself. tokens: access tokens by origin."""

    mirror: str | None = None
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Hosts:
        """HF_MIRROR (Fooocus's name) or HF_ENDPOINT (Hugging Face's), HF_TOKEN, CIVITAI_TOKEN."""
        given = {host: environment.get(name, "").strip() for host, name in TOKEN_VARIABLES.items()}
        bases = (environment.get(name, "").strip().rstrip("/") for name in MIRROR_VARIABLES)
        base = next(filter(None, bases), None)
        if base is not None and "://" not in base:
            base = f"https://{base}"
        return cls(mirror=base, tokens={host: token for host, token in given.items() if token})

    def locate(self, url: str) -> str:
        """The URL to ask instead of `url`: the mirror's, for a file of Hugging Face."""
        path = url.removeprefix(HUGGING_FACE + "/")
        return url if self.mirror is None or path == url else f"{self.mirror}/{path}"

    def headers(self, url: str) -> dict[str, str]:
        """The authorisation for exactly this origin. Mirrors and targets of redirects are other origins."""
        token = self.tokens.get(origin(url))
        return {"Authorization": f"Bearer {token}"} if token else {}

    def advice(self, url: str) -> str:
        """What to try when `url` was refused for lack of rights."""
        variable = TOKEN_VARIABLES.get(origin(url))
        if variable is None:
            return "the file is not public"
        if self.headers(url):
            return f"the token in {variable} may not read it; accept the terms on the model's page"
        return f"set {variable} and accept the terms on the model's page"
