"""Who does the work, by the setting."""

from __future__ import annotations

from gateway.files.files import Files
from gateway.fleet.fleet import Fleet
from gateway.jobs.jobs import Jobs
from gateway.settings import Settings


def choose_fleet(settings: Settings, jobs: Jobs, files: Files) -> Fleet:
    """The fleet named by `settings.fleet`. The way to an endpoint is loaded only where there is one."""
    if settings.fleet == "local":
        return Fleet(settings, jobs, files)
    from gateway.fleet.runpod.fleet import RunpodFleet

    return RunpodFleet(settings, jobs, files)
