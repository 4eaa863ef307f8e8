"""`python -m gateway`: quick to serve, one clear sentence when it cannot, keys and worker variables by command."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.__main__ import COMMANDS
from gateway.fleet.tokens import WorkerTokens
from tests.support.gateway import WORKER_SECRET, GatewayProcess, serving_gateway, until
from tests.support.worker import clean_environment

BUCKET = {
    "GATEWAY_BUCKET_ENDPOINT_URL": "https://s3.example",
    "GATEWAY_BUCKET_ACCESS_KEY_ID": "id",
    "GATEWAY_BUCKET_SECRET_ACCESS_KEY": "short",
    "GATEWAY_BUCKET_NAME": "pictures",
}


def gateway(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=home, env=clean_environment(home) | environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with serving_gateway(GatewayProcess(tmp_path_factory.mktemp("gateway"))) as process:
        yield process


def test_it_serves_after_a_second_of_computing_without_torch(tmp_path: Path) -> None:
    """CPU time counts, with room for a busy machine: an idle one is within a second on the clock."""
    with serving_gateway(GatewayProcess(tmp_path)) as process:
        times = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        loaded = Path(f"/proc/{process.pid}/maps").read_text()
    assert sum(map(int, times)) / os.sysconf("SC_CLK_TCK") < 3
    assert "libtorch" not in loaded


def test_boto3_is_loaded_only_for_a_bucket(tmp_path: Path) -> None:
    code = (
        "import sys; from gateway.app import create_app; from gateway.settings import Settings;"
        "create_app(Settings(fleet='runpod', runpod_endpoint='x', runpod_api_key='y'));"
        "assert 'gateway.fleet.runpod.bucket.way' in sys.modules and 'botocore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=clean_environment(tmp_path), check=True)


def test_health_answers_at_once_and_readiness_waits_for_a_worker(running: GatewayProcess) -> None:
    assert running.get("/healthz") == (200, {"status": "ok"})
    status, body = running.get("/readyz")
    assert (status, body["status"]) == (503, "no worker is warm")


def test_a_preset_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"default_cfg_scale": 99}')
    done = gateway(tmp_path, "--port", "0", "--workers", "0", GATEWAY_PRESET="mine.json")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "The preset mine.json cannot be used. default_cfg_scale: Input should be less than or equal to 30."
    ]


def test_a_second_gateway_on_the_same_data_is_refused(running: GatewayProcess) -> None:
    done = gateway(running.home, "--data", str(running.data), "--port", "0", "--workers", "0")
    assert done.returncode == 1
    assert "in use by another gateway" in last_line(done.stderr)


def test_a_taken_port_is_named(running: GatewayProcess, tmp_path: Path) -> None:
    done = gateway(tmp_path, "--port", str(running.port), "--workers", "0")
    assert done.returncode == 1
    assert last_line(done.stderr) == (
        f"The gateway cannot listen on 127.0.0.1 port {running.port}: Address already in use. Is another one running?"
    )


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = gateway(tmp_path, "--data", "file/data", "--port", "0", "--workers", "0")
    assert done.returncode == 1
    assert last_line(done.stderr) == "The data folder file/data cannot be written: Not a directory."


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 8000])
def test_a_damaged_store_is_not_touched(tmp_path: Path, content: bytes) -> None:
    store = tmp_path / "data" / "gateway.sqlite3"
    store.parent.mkdir()
    store.write_bytes(content)
    done = gateway(tmp_path, "--data", "data", "--port", "0", "--workers", "0")
    assert done.returncode == 1
    assert "The gateway cannot start." in last_line(done.stderr)
    assert "damaged" in last_line(done.stderr)
    assert store.read_bytes() == content


def test_without_the_worker_it_says_how_to_go_on(tmp_path: Path) -> None:
    """A gateway installed alone: a copy of its rooms, without `handler`."""
    rooms = Path(__file__).parents[2]
    for room in ("gateway", "schemas"):
        (tmp_path / room).symlink_to(rooms / room)
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['handler'] = None", "utf-8")
    done = gateway(tmp_path, "--port", "0", PYTHONPATH=str(tmp_path), PYTHONSAFEPATH="1")
    assert done.returncode == 1
    assert last_line(done.stderr) == (
        "The worker is not installed here (handler missing): install it, or use --workers 0."
    )


def test_other_machines_are_not_served_without_keys(tmp_path: Path) -> None:
    done = gateway(tmp_path, "--host", "0.0.0.0", "--port", "0", "--workers", "0")
    assert done.returncode == 1
    assert "There are no keys, so whoever reaches 0.0.0.0 could use this gateway" in last_line(done.stderr)


def test_without_keys_it_listens_to_this_machine_alone_and_says_so(running: GatewayProcess) -> None:
    assert "There are no keys: whoever is on this machine may use it, nobody else can" in running.log()
    assert listening(running) == ["0100007F"]


def listening(gateway: GatewayProcess) -> list[str]:
    """The addresses that take connections at its port, as the kernel writes them."""
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text("ascii").splitlines()]
    sockets = [fields[1].split(":") for fields in map(str.split, lines) if fields[3] == "0A"]
    return [address for address, port in sockets if int(port, 16) == gateway.port]


def test_with_a_key_they_are(tmp_path: Path) -> None:
    process = GatewayProcess(tmp_path, ["--host", "0.0.0.0", "--apikey", "0123456789"])
    with serving_gateway(process):
        assert process.get("/healthz")[0] == 200
        assert listening(process) == ["00000000"]
        assert "There are no keys" not in process.log()
        assert "0123456789" not in process.log()


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--port", "70000"], {}, "The setting port is not valid"),
        (["--workers", "-1"], {}, "The setting workers is not valid"),
        (["--apikey", "short"], {}, "The setting apikey is not valid"),
        (["--public-url", "gpu.example"], {}, "The setting public_url is not valid: it should be an address"),
        (["--webhook-url", "ftp://a.example/"], {}, "The setting webhook_url is not valid: The webhook URL is not"),
        ([], {"GATEWAY_LEASE_S": "soon"}, "The setting lease_s is not valid"),
        ([], {"GATEWAY_BUCKET_NAME": "abc"}, "in part: GATEWAY_BUCKET_ENDPOINT_URL and GATEWAY_BUCKET_ACCESS_KEY_ID"),
        ([], {**BUCKET, "GATEWAY_BUCKET_SECRET_ACCESS_KEY": ""}, "in part: GATEWAY_BUCKET_SECRET_ACCESS_KEY missing."),
        ([], {**BUCKET, "GATEWAY_BUCKET_NAME": "a/b"}, "The setting bucket_name is not valid: must be a bucket's name"),
        ([], {**BUCKET, "GATEWAY_BUCKET_ENDPOINT_URL": "s3.example"}, "bucket_endpoint_url is not valid: must"),
        ([], {**BUCKET, "GATEWAY_BUCKET_ACCESS_KEY_ID": "short key"}, "bucket_access_key_id is not valid: it has"),
        ([], {**BUCKET, "GATEWAY_BUCKET_PREFIX": "../a"}, "The setting bucket_prefix is not valid"),
        (["--no-such-flag"], {}, "unrecognized arguments"),
        (["keys", "add", "a", "--max-waiting", "-1"], {}, "--max-waiting"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, arguments: list[str], environment: dict, said: str) -> None:
    done = gateway(tmp_path, *arguments, **environment)
    assert done.returncode == 2
    assert said in last_line(done.stderr)
    assert "short" not in done.stderr


def test_it_ends_on_sigterm(tmp_path: Path) -> None:
    with serving_gateway(GatewayProcess(tmp_path)) as process:
        process.terminate()
        assert process.wait(60) == 0
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", process.port), 1)


def test_its_log_is_json_lines(running: GatewayProcess) -> None:
    running.request("GET", "/nowhere", headers={"x-request-id": "abc-1", "Authorization": "Key very-secret"})
    until(lambda: "abc-1" in running.log())
    lines = [json.loads(line) for line in running.log().splitlines()]
    (line,) = [line for line in lines if line.get("request") == "abc-1"]
    assert (line["method"], line["status"]) == ("GET", 404)
    assert "very-secret" not in running.log()


def test_keys_are_made_listed_and_revoked(tmp_path: Path) -> None:
    made = gateway(tmp_path, "keys", "add", "laptop", "--jobs-per-minute", "30", "--data", "data")
    key = made.stdout.strip()
    assert re.fullmatch(r"fooocus_[0-9a-f]{8}_[0-9a-f]{64}", key)
    key_id = key.split("_")[1]
    listed = gateway(tmp_path, "keys", "list", "--data", "data").stdout
    assert listed.split()[0] == key_id
    assert "in use  laptop  30 jobs per minute" in listed
    assert gateway(tmp_path, "keys", "revoke", key_id, "--data", "data").returncode == 0
    assert "revoked  laptop" in gateway(tmp_path, "keys", "list", "--data", "data").stdout
    again = gateway(tmp_path, "keys", "revoke", key_id, "--data", "data")
    assert (again.returncode, again.stderr) == (1, f"There is no key with the id {key_id} in use.\n")
    stored = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir() if path.is_file())
    assert key.encode() not in stored
    assert key.split("_")[2].encode() not in stored


@pytest.mark.parametrize(
    "command",
    [["keys", "list"], ["worker-env"], ["webhook-secret"], ["serve", "--host", "0.0.0.0", "--port", "0"]],
    ids=lambda command: command[0],
)
def test_whoever_makes_the_data_folder_makes_it_private(tmp_path: Path, command: list[str]) -> None:
    """The last of them is refused, but only once the folder is there."""
    gateway(tmp_path, *command, "--data", "data")
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_worker_env_prints_what_a_remote_worker_needs(tmp_path: Path) -> None:
    done = gateway(
        tmp_path, "worker-env", "gpu-2", "--public-url", "http://10.0.0.5:8888", GATEWAY_WORKER_SECRET=WORKER_SECRET
    )
    variables = dict(pair.split("=", 1) for pair in shlex.split(done.stdout))
    assert variables["RUNPOD_WEBHOOK_GET_JOB"].startswith("http://10.0.0.5:8888/worker/v2/fooocus/job-take/$ID")
    assert variables["RUNPOD_AI_API_KEY"] == WorkerTokens(WORKER_SECRET).of("gpu-2")
    assert variables["RUNPOD_POD_ID"] == "gpu-2"
    assert variables["FOOOCUS_UPLOAD_ORIGIN"] == "http://10.0.0.5:8888"


@pytest.mark.parametrize("name", ["local-1", "a b", "", "../x", "a" * 65])
def test_worker_names_are_plain_and_not_ours(tmp_path: Path, name: str) -> None:
    done = gateway(tmp_path, "worker-env", name)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_command_explains_itself(tmp_path: Path, command: list[str]) -> None:
    done = gateway(tmp_path, *command, "--help")
    assert done.returncode == 0
    assert "usage: python -m gateway" in done.stdout


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64])
@pytest.mark.parametrize("command", [["worker-env"], ["serve", "--port", "0", "--workers", "0"]], ids=["env", "serve"])
def test_a_damaged_worker_secret_is_told_and_kept(tmp_path: Path, command: list[str], content: bytes) -> None:
    """As an interrupted write would leave it: tokens of an empty secret could be guessed."""
    secret = tmp_path / "data" / "worker-secret"
    secret.parent.mkdir()
    secret.write_bytes(content)
    done = gateway(tmp_path, *command, "--data", "data")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The key file worker-secret is damaged" in last_line(done.stderr)
    assert secret.read_bytes() == content


def test_worker_tokens_stay_the_same(tmp_path: Path) -> None:
    first, again = (gateway(tmp_path, "worker-env", "--data", "data").stdout for _ in range(2))
    assert "RUNPOD_AI_API_KEY=" in first
    assert first == again
    assert (tmp_path / "data" / "worker-secret").stat().st_mode & 0o777 == 0o600
