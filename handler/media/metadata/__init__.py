"""Generation metadata inside image files, in Fooocus's two schemes, written and read back.

`write` makes the text, `Metadata` carries it into a file (see `handler.media.encode`), `read_metadata` finds
it in a file, `parse` turns it into values again.
"""

from __future__ import annotations

from typing import Any

from handler.media.metadata import a1111, fooocus
from handler.media.metadata.container import Metadata, read_metadata
from handler.media.metadata.record import Installed, Record
from schemas.enums import MetadataScheme

__all__ = ["Installed", "Metadata", "Record", "parse", "read_metadata", "write"]

_SCHEMES = {MetadataScheme.FOOOCUS: fooocus, MetadataScheme.A1111: a1111}


def write(record: Record, scheme: MetadataScheme) -> Metadata:
    """Describe one image in `scheme`."""
    return Metadata(scheme, _SCHEMES[scheme].write(record))


def parse(metadata: Metadata, installed: Installed) -> dict[str, Any]:
    """The values of `metadata` by Fooocus's keys, file names as they are in `installed`.

    ValueError if the text is not of the scheme it claims.
    """
    return _SCHEMES[metadata.scheme].parse(metadata.text, installed)
