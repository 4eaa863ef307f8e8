"""`python -m gateway keys add|list|revoke`. A gateway that runs meanwhile follows within a second."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from gateway.jobs.store import Store
from gateway.keys import table
from gateway.keys.key import Key
from gateway.settings import Settings


def run(settings: Settings, parsed: argparse.Namespace) -> int:
    """Do one of the three; the exit code. Raises what `Store` raises."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store(settings.data, exclusive=False)
    try:
        store.migrate("keys", table.SCHEMA)
        return asyncio.run(_ACTIONS[parsed.action](store, parsed))
    finally:
        store.close()


async def _add(store: Store, parsed: argparse.Namespace) -> int:
    print(await table.add(store, parsed.name, parsed.jobs_per_minute, parsed.max_waiting))
    print("This is the key. It is shown this once: only its hash is kept.", file=sys.stderr)
    return 0


async def _list(store: Store, parsed: argparse.Namespace) -> int:
    for key in await table.every(store):
        print(_line(key))
    return 0


async def _revoke(store: Store, parsed: argparse.Namespace) -> int:
    if await table.revoke(store, parsed.id):
        return 0
    print(f"There is no key with the id {parsed.id} in use.", file=sys.stderr)
    return 1


_ACTIONS = {"add": _add, "list": _list, "revoke": _revoke}


def _line(key: Key) -> str:
    made = time.strftime("%Y-%m-%d", time.gmtime(key.created_at))
    limits = [f"{key.jobs_per_minute} jobs per minute"] if key.jobs_per_minute else []
    limits += [f"{key.max_waiting} waiting"] if key.max_waiting else []
    state = "revoked" if key.revoked_at is not None else "in use"
    return "  ".join([key.id, made, state, key.name, *limits])
