"""The default policy against a real network: real addresses of every kind, real DNS, real redirects.

The machine's own resolver is used, with a DNS server that lies, mixes and changes its mind (rebinding). Needs user
namespaces and `ip`; skipped where a container does not allow them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from schemas.errors import FileDownloadError

from .isolated_network import REACHABLE, TARGETS, ZONE

UNSHARE = ["unshare", "-Urnm"]
BLOCKED = str(FileDownloadError(("url",)))


def possible() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    script = "ip link set lo up && mount --bind /dev/null /etc/resolv.conf"
    return subprocess.run([*UNSHARE, "sh", "-c", script], capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def report():
    if not possible():
        pytest.skip("no user namespaces here")
    command = [*UNSHARE, sys.executable, "-m", "tests.handler.media.isolated_network"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_nothing_reached_an_internal_address(report):
    assert report["canary"] == []
    assert report["control"] == 5, "the canary must see what does reach it"


def test_names_with_global_addresses_are_served_and_no_others(report):
    served = {name for name, text in report["names"].items() if text == "origin"}
    assert served == REACHABLE | {"rebind.test"}
    assert {text for name, text in report["names"].items() if name not in served} == {BLOCKED}
    assert len(report["names"]) == len(ZONE)


def test_a_name_that_turns_internal_is_refused_the_second_time(report):
    assert report["rebound"] == BLOCKED


def test_no_redirect_leads_inside(report):
    assert len(report["redirects"]) == 5 * 3 * len(TARGETS)
    assert set(report["redirects"].values()) == {BLOCKED}


def test_redirects_between_global_hosts_are_followed(report):
    assert report["followed"] == "origin"
    assert report["origin"] > 5 * 6 * len(TARGETS)


def test_every_form_of_the_internal_addresses_is_refused(report):
    assert report["tried"] > 1500
    assert report["forms"] == {}
