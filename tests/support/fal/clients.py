"""fal's real clients as one class: each kind is a process of its own that is told what to call.

    client = Client(KINDS["js-proxy"], address)
    client.subscribe("fal-ai/fooocus", {"prompt": "x"}).data

Installed by `install_fal.sh`; without them the tests fail.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
VENVS = ROOT / ".venv-fal"
KEY = "any-local-key"
ANSWER_S = 120

WORDS = {"Queued": "IN_QUEUE", "InProgress": "IN_PROGRESS", "Completed": "COMPLETED"}
"""Python's classes of a status, in the words of the protocol."""

Input = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a gateway is. bundle: what a client must trust."""

    url: str
    https: str = ""
    bundle: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A client of one age, pointed at the gateway in one way.

    way: JavaScript's `proxy`, `proxy-string`, `middleware`, `fetch`; Python's `env` (host variables and HTTPS),
    `module` (attributes) and `tunnel` (HTTPS_PROXY).
    """

    language: str
    age: str
    way: str

    @property
    def uploads(self) -> bool:
        """Whether its uploads can be led here: Python's hosts for them are no variables."""
        return self.way != "env"

    def command(self, address: Address) -> list[str]:
        if self.language == "js":
            package = "@fal-ai/client" if self.age == "newest" else f"@fal-ai/client-{self.age}"
            return ["node", str(HERE / "bridge.mjs"), package, self.way, address.url]
        mode = "module" if self.way == "module" else "plain"
        return [str(VENVS / self.age / "bin" / "python"), str(HERE / "bridge.py"), mode, address.url]

    def environment(self, address: Address) -> dict[str, str]:
        if self.way == "env":
            host = address.https.removeprefix("https://")
            hosts = {"FAL_RUN_HOST": f"{host}/run", "FAL_QUEUE_RUN_HOST": f"{host}/queue"}
            return {**hosts, "SSL_CERT_FILE": address.bundle}
        return {"HTTPS_PROXY": address.url, "SSL_CERT_FILE": address.bundle} if self.way == "tunnel" else {}


KINDS = {
    "js-proxy": Kind("js", "newest", "proxy"),
    "js-page": Kind("js", "newest", "proxy-string"),
    "js-middleware": Kind("js", "newest", "middleware"),
    "js-fetch": Kind("js", "newest", "fetch"),
    "js-oldest": Kind("js", "oldest", "middleware"),
    "py-env": Kind("py", "newest", "env"),
    "py-env-oldest": Kind("py", "oldest", "env"),
    "py-module": Kind("py", "newest", "module"),
    "py-module-oldest": Kind("py", "oldest", "module"),
    "py-tunnel": Kind("py", "newest", "tunnel"),
    "py-tunnel-oldest": Kind("py", "oldest", "tunnel"),
}


class ClientError(Exception):
    """What the client raised. detail: the body's, in either shape. error: all that is known of it."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(error))
        self.error = error
        self.name: str = error["name"]
        self.status: int | None = error.get("status")
        body = error.get("body")
        self.detail = body.get("detail") if isinstance(body, dict) else error["message"]
        self.error_type = body.get("error_type") if isinstance(body, dict) else error.get("error_type")


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a subscription. updates: the states it told on the way, in the protocol's words."""

    data: dict[str, Any]
    updates: list[dict[str, Any]]
    request_id: str | None


class Client:
    """One client process. Calls raise ClientError as the client raised its own."""

    def __init__(self, kind: Kind, address: Address, key: str = KEY) -> None:
        self.kind = kind
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8", "FAL_KEY": key}
        command = [*kind.command(address), key] if kind.language == "js" else kind.command(address)
        self._process = subprocess.Popen(
            command, env=environment | kind.environment(address), cwd=HERE,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout

    def close(self) -> None:
        self._orders.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def call(self, name: str, **arguments: Any) -> Any:
        """What the client's own function gave."""
        self._orders.write(json.dumps({"call": name, "args": arguments}) + "\n")
        self._orders.flush()
        ready, _, _ = select.select([self._answers], [], [], ANSWER_S)
        assert ready, f"No answer to {name} within {ANSWER_S} s"
        line = self._answers.readline()
        assert line, f"The client ended with {self._process.wait(30)}"
        answer = json.loads(line)
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer.get("value")

    @property
    def is_js(self) -> bool:
        return self.kind.language == "js"

    def _options(self, input: Input, webhook: str | None, start_timeout: float | None, **more: Any) -> Input:
        names = ("input", "webhookUrl", "startTimeout") if self.is_js else ("arguments", "webhook_url", "start_timeout")
        values = dict(zip(names, (input, webhook, start_timeout), strict=True))
        return {name: value for name, value in {**values, **more}.items() if value is not None}

    def submit(
        self, endpoint: str, input: Input, webhook: str | None = None, start_timeout: float | None = None, **more: Any
    ) -> str:
        """The request's id. more: `priority`, `hint`, `headers`, named alike in both languages."""
        sent = self.call("submit", id=endpoint, **self._options(input, webhook, start_timeout, **more))
        return str(sent["request_id"])

    def status(self, endpoint: str, request_id: str, *, logs: bool = False) -> dict[str, Any]:
        name = "requestId" if self.is_js else "request_id"
        return _worded(self.call("status", id=endpoint, **{name: request_id}, logs=logs))

    def result(self, endpoint: str, request_id: str) -> dict[str, Any]:
        if self.is_js:
            return self.call("result", id=endpoint, requestId=request_id)["data"]
        return self.call("result", id=endpoint, request_id=request_id)

    def cancel(self, endpoint: str, request_id: str) -> None:
        self.call("cancel", id=endpoint, **{"requestId" if self.is_js else "request_id": request_id})

    def subscribe(
        self, endpoint: str, input: Input, *, logs: bool = False, call: str = "subscribe", **more: Any
    ) -> Done:
        named = {"input": input, "logs": logs} if self.is_js else {"arguments": input, "with_logs": logs}
        found = self.call(call, id=endpoint, **named, **more)
        return Done(found["data"], [_worded(update) for update in found["updates"]], found.get("requestId"))

    def run(self, endpoint: str, input: Input, *, start_timeout: float | None = None) -> dict[str, Any]:
        found = self.call("run", id=endpoint, **self._options(input, None, start_timeout))
        return found["data"] if self.is_js else found

    def stream(self, endpoint: str, input: Input) -> list[dict[str, Any]]:
        """All events."""
        found = self.call("stream", id=endpoint, **self._options(input, None, None))
        return found["events"] if self.is_js else found

    def upload(
        self, size: int, *, type: str = "image/png", name: str | None = "a.png", call: str = "upload", **more: Any
    ) -> str:
        """The URL of a file of `size` bytes. more: the client's own options."""
        return str(self.call(call, file={"size": size, "type": type, "name": name}, **more))


def _worded(status: dict[str, Any]) -> dict[str, Any]:
    return {**status, "status": WORDS[status["is"]]} if "is" in status else status
