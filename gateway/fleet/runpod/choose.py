"""How pictures travel, by the settings."""

from __future__ import annotations

from gateway.files.files import Files
from gateway.fleet.runpod.bucket.place import place_of
from gateway.fleet.runpod.bucket.way import BucketWay
from gateway.fleet.runpod.ways import PublicWay, Way, reachable
from gateway.settings import Settings


def choose_way(settings: Settings, files: Files) -> Way:
    """By the gateway's bucket where there is one, else by its public address, else inside the jobs."""
    place, public_url = place_of(settings), reachable(settings.public_url)
    if place is not None:
        return BucketWay(place, files)
    return Way(files) if public_url is None else PublicWay(files, public_url)
