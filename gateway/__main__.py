"""`python -m gateway`: serve, and manage keys and workers. What is heavy is imported when it is needed."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.settings import Settings

COMMANDS = ("serve", "keys", "worker-env", "webhook-secret")


def main(arguments: list[str] | None = None) -> None:
    """Run a command; without one, `serve`. Exits 2 for what is asked wrongly and 1 for what cannot be done, with one
    sentence that says why."""
    given = sys.argv[1:] if arguments is None else arguments
    parsed = _parser().parse_args(given if given and given[0] in (*COMMANDS, "-h", "--help") else ["serve", *given])
    settings = _settings({name: value for name, value in vars(parsed).items() if name in _FLAGS and value is not None})
    from schemas.errors import FooocusError

    try:
        parsed.run(settings, parsed)
    except FooocusError as error:
        sys.exit(f"The data folder {settings.data} cannot be used. {' '.join(str(error).split())}.")


_WORKER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FLAGS = (
    "host", "port", "tls_port", "data", "workers", "fleet", "runpod_endpoint", "public_url", "webhook_url",
    "allow_private_webhooks", "apikey",
)  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway", description="A queue and its doors before the workers.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, metavar="DIR", help="folder of queue, files and logs (gateway-data)")
    _serve_parser(commands.add_parser("serve", parents=[common], help="open the doors (the default)"))
    _keys_parser(commands.add_parser("keys", help="make, list and revoke keys of clients"), common)
    env = commands.add_parser("worker-env", parents=[common], help="print what a worker on another machine needs")
    env.add_argument("name", nargs="?", default="worker-1", help="what the worker is called; each needs its own name")
    env.add_argument("--public-url", metavar="URL", help="where the worker reaches this gateway")
    env.set_defaults(run=_worker_env)
    secret = commands.add_parser("webhook-secret", parents=[common], help="print what receivers verify webhooks with")
    secret.add_argument("key", nargs="?", default="local", help="id of the key whose webhooks these are")
    secret.set_defaults(run=_webhook_secret)
    return parser


def _serve_parser(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("--host", help="address to listen on (127.0.0.1); others than loopback need a key")
    serve.add_argument("--port", type=int, help="port to listen on (8888)")
    serve.add_argument("--tls-port", type=int, metavar="PORT", help="port for HTTPS beside it")
    serve.add_argument("--workers", type=int, metavar="N", help="worker processes on this machine (1)")
    serve.add_argument("--fleet", choices=("local", "runpod"), help="who works: workers here, or a RunPod endpoint")
    serve.add_argument("--runpod-endpoint", metavar="ID", help="the endpoint; its key is GATEWAY_RUNPOD_API_KEY")
    serve.add_argument("--public-url", metavar="URL", help="address clients reach this gateway at")
    serve.add_argument("--webhook-url", metavar="URL", help="where the end of every job is told")
    serve.add_argument(
        "--allow-private-webhooks", action="store_true", default=None,
        help="send webhooks to loopback and private networks too",
    )  # fmt: skip
    serve.add_argument("--apikey", metavar="KEY", help="one key in plain text; better: keys add")
    serve.set_defaults(run=_serve)


def _keys_parser(keys: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", parents=[common], help="make a key and show it, this once")
    add.add_argument("name", help="what it is for")
    add.add_argument("--jobs-per-minute", type=_limit, metavar="N", help="jobs it may submit a minute; 0: any number")
    add.add_argument("--max-waiting", type=_limit, metavar="N", help="jobs of it that may wait; 0: any number")
    actions.add_parser("list", parents=[common], help="list keys; they themselves are not kept")
    revoke = actions.add_parser("revoke", parents=[common], help="make a key open nothing any more")
    revoke.add_argument("id", help="the id, as `list` shows it")
    for name, action in actions.choices.items():
        action.set_defaults(run=_keys, action=name)


def _limit(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError
    return value


def _settings(flags: dict[str, Any]) -> Settings:
    from pydantic import ValidationError

    from gateway.settings import Settings

    try:
        return Settings(**flags)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        sys.exit(_wrong(f"The setting {first['loc'][0]} is not valid: {first['msg'].removeprefix('Value error, ')}."))


def _serve(settings: Settings, _parsed: argparse.Namespace) -> None:
    from gateway.checks import CannotServe, check_folder, check_workers, listen

    try:
        check_workers(settings)
        check_folder(settings.data)
        listener = listen(settings)
        from gateway.serve import serve

        serve(settings, listener)
    except CannotServe as error:
        sys.exit(str(error))


def _keys(settings: Settings, parsed: argparse.Namespace) -> None:
    from gateway.keys.commands import run

    sys.exit(run(settings, parsed))


def _worker_env(settings: Settings, parsed: argparse.Namespace) -> None:
    from gateway.fleet.environment import worker_environment
    from gateway.fleet.tokens import worker_tokens
    from gateway.urls import own_url

    if not _WORKER_NAME.fullmatch(parsed.name) or parsed.name.startswith("local-"):
        sys.exit(_wrong("A worker's name has letters, digits, '.', '_' and '-', and does not begin with local-."))
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = settings.public_url or own_url(settings)
    for name, value in worker_environment(url, parsed.name, worker_tokens(settings).of(parsed.name)).items():
        print(f"{name}={shlex.quote(value)}")


def _webhook_secret(settings: Settings, parsed: argparse.Namespace) -> None:
    from gateway.webhooks.identity import Identity

    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    print(Identity(settings.data / "webhooks").secret(parsed.key))


def _wrong(text: str) -> int:
    print(text, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
