"""OpenStack Swift with its S3 API in one process on free loopback ports; run by the Python of `.venv-s3`.

usage: python -I swift_server.py FOLDER ACCOUNT:USER SECRET

FOLDER is made; its filesystem must have user xattrs. Prints the S3 endpoint once it listens, then serves until its
standard input ends, so it never outlives the process that started it.
"""

from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import eventlet
from eventlet import wsgi
from swift.common.utils import disable_fallocate, eventlet_monkey_patch, set_swift_dir

BACKENDS = ("account", "container", "object")
FILTERS = ("catch_errors", "gatekeeper", "healthcheck", "listing_formats", "s3api", "tempauth", "slo")
DISK = "d1"


def write_cluster(folder: Path) -> None:
    """`swift.conf`: the hash salts and the one storage policy."""
    (folder / DISK).mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_prefix = before\nswift_hash_path_suffix = after\n"
        "[storage-policy:0]\nname = only\ndefault = yes\n"
    )


def write_ring(folder: Path, name: str, port: int) -> None:
    """A ring of one replica on one device, served at `port`."""
    from swift.common.ring import RingBuilder

    builder = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
    place = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": DISK, "weight": 1.0}
    builder.add_dev({"id": 0, "replication_ip": "127.0.0.1", "replication_port": port, **place})
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{name}.ring.gz"))


def common(folder: Path) -> str:
    user = pwd.getpwuid(os.getuid()).pw_name
    return f"[DEFAULT]\nswift_dir = {folder}\nuser = {user}\nlog_level = ERROR\n"


def write_backend(folder: Path, name: str) -> Path:
    path = folder / f"{name}.conf"
    path.write_text(
        f"{common(folder)}devices = {folder}\nmount_check = false\n"
        f"[pipeline:main]\npipeline = {name}-server\n[app:{name}-server]\nuse = egg:swift#{name}\n"
    )
    return path


def write_proxy(folder: Path, access_key: str, secret: str) -> Path:
    account, user = access_key.split(":")
    options = {
        "s3api": "location = us-east-1\n",
        "tempauth": f"user_{account}_{user} = {secret} .admin\n",
    }
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n{options.get(name, '')}" for name in FILTERS)
    path = folder / "proxy.conf"
    path.write_text(
        f"{common(folder)}{filters}[pipeline:main]\npipeline = {' '.join(FILTERS)} proxy-server\n"
        "[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n"
    )
    return path


def serve(conf: Path, listener: eventlet.greenio.GreenSocket) -> None:
    """Serve one of Swift's applications; header names keep their spelling, because S3 clients want `ETag`."""
    from swift.common.http_protocol import SwiftHttpProtocol
    from swift.common.utils import NullLogger
    from swift.common.wsgi import loadapp

    app = loadapp(str(conf), global_conf={"log_name": conf.stem})
    wsgi.server(listener, app, NullLogger(), protocol=SwiftHttpProtocol, capitalize_response_headers=False)


def wait_for_end_of_input() -> None:
    """Return when the starter has closed our standard input or is gone."""
    stdin = sys.stdin.fileno()
    while True:
        eventlet.hubs.trampoline(stdin, read=True)
        if not os.read(stdin, 1024):
            return


def main(folder: Path, access_key: str, secret: str) -> None:
    write_cluster(folder)
    set_swift_dir(str(folder))
    disable_fallocate()
    for name in BACKENDS:
        listener = eventlet.listen(("127.0.0.1", 0))
        write_ring(folder, name, listener.getsockname()[1])
        eventlet.spawn(serve, write_backend(folder, name), listener)
    front = eventlet.listen(("127.0.0.1", 0), backlog=128)
    eventlet.spawn(serve, write_proxy(folder, access_key, secret), front)
    print(f"http://127.0.0.1:{front.getsockname()[1]}", flush=True)
    wait_for_end_of_input()


if __name__ == "__main__":
    eventlet_monkey_patch()
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
