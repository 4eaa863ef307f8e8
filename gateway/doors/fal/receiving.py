"""What both ways to upload share: names for the URLs, lifetimes, parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request

from gateway.bodies import allow, read_json
from gateway.doors.fal.options import LIFECYCLE, UPLOAD_LIFECYCLE, lifetime
from gateway.doors.fal.roots import CDN, root_url
from gateway.files.model import StoredFile
from gateway.files.uploads import Part, Upload, Uploads
from gateway.gateway import Gateway
from schemas.errors import BadRequest, InvalidInput


class _Part(BaseModel):
    number: Annotated[int, Field(alias="partNumber", ge=1)]
    etag: str


class _Parts(BaseModel):
    parts: list[_Part]


def upload_lifetime(request: Request) -> float | None:
    """Seconds an uploaded file is to be kept, from any of the headers that say so."""
    names = (UPLOAD_LIFECYCLE, f"{UPLOAD_LIFECYCLE}-preference", LIFECYCLE)
    return next((seconds for name in names if (seconds := lifetime(name, request.headers.get(name)))), None)


@dataclass(frozen=True)
class Receiving:
    """Uploads as requests bring them."""

    gateway: Gateway
    uploads: Uploads

    @classmethod
    def of(cls, gateway: Gateway) -> Receiving:
        return cls(gateway, Uploads(gateway.files))

    def url(self, request: Request, file: StoredFile | Upload) -> str:
        """Where the file is read, below the CDN's root: Python's client puts `/multipart/…` behind it."""
        return f"{root_url(request, self.gateway.settings, CDN)}/files/{file.id}/{file.name}"

    def allow_file(self, request: Request) -> None:
        """Let the body be as large as a file may be."""
        allow(request, self.gateway.files.limits.max_file)

    async def part(self, request: Request, upload_id: str, token: str, number: str) -> Part:
        """Take part `number` of an upload. Raises as `Uploads.receive_part`."""
        if not (number.isascii() and number.isdecimal() and len(number) < 10):
            raise BadRequest("Parts are numbered from 1")
        self.allow_file(request)
        return await self.uploads.receive_part(upload_id, token, int(number), request.stream())

    async def complete(self, request: Request, upload_id: str, token: str) -> dict[str, str]:
        """Join the parts that the body lists. Raises InvalidInput, and as `Uploads.complete`."""
        try:
            listed = _Parts.model_validate(await read_json(request, self.gateway.settings))
        except ValidationError as error:
            raise InvalidInput.from_pydantic(error) from None
        parts = [Part(item.number, item.etag) for item in listed.parts]
        file = await self.uploads.complete(upload_id, token, parts)
        return {"access_url": self.url(request, file)}
