"""The Dockerfile's steps, run in Debian roots instead of a Docker engine: what of BuildKit this Dockerfile needs.

    unshare --mount python -m tests.slow.container [--debian ROOT] [--lend PATH]... FOLDER [NAME=VALUE ...]

Stages are overlays above a root that debootstrap makes, RUN is a chroot, and NAME=VALUE are build arguments. Needs
Linux, root and debootstrap. The host's pip settings, resolver and certificates are lent to each RUN and stay outside.
Prints a JSON line for each layer; then the image's command renders a job as each of the users it can have.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template

CONTEXT = Path(__file__).parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PACKAGES = "ca-certificates,netbase,tzdata,python3-venv"
"""What the slim Python image has beside a minimal Debian; python3 stands for its own build of Python."""
LENT = ("/dev", "/proc", "/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt")
TOKENS = {"hf_token": "hf_TOKENOFTHEBUILD", "civitai_token": "civitai_TOKENOFTHEBUILD"}
JOB = {"input": {"aspect_ratio": "256x256", "seed": 7, "performance": "Lightning", "output_format": "png"}}


@dataclass(frozen=True)
class Stage:
    """One FROM: what it stands on, and its steps as (instruction, rest)."""

    parent: str
    steps: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Image:
    """What a stage gave. layers: folders, lowest first."""

    layers: tuple[Path, ...]
    env: dict[str, str]
    folder: str = "/"
    user: str = "root"
    command: tuple[str, ...] = ()


def read(text: str) -> tuple[dict[str, str], dict[str, Stage]]:
    """The arguments before the first FROM, and the stages by name."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    steps = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    first = next(index for index, (word, _) in enumerate(steps) if word == "FROM")
    stages: dict[str, Stage] = {}
    for word, rest in steps[first:]:
        if word == "FROM":
            parent, _, name = rest.split()
            stages[name] = current = Stage(parent)
        else:
            current.steps.append((word, rest))
    return dict(rest.split("=", 1) for _, rest in steps[:first]), stages


class Build:
    """Builds stages when they are first asked for."""

    def __init__(self, folder: Path, debian: Path, arguments: dict[str, str], more: list[str]) -> None:
        self._folder = folder
        self._debian = debian
        defaults, self._stages = read((CONTEXT / "Dockerfile").read_text("utf-8"))
        self._arguments = defaults | arguments
        self._built: dict[str, Image] = {}
        self._pip, named = pip_settings()
        self._lent = (*LENT, *named, *more)

    def image(self, name: str) -> Image:
        if name not in self._stages:
            return Image((self._debian,), {"PATH": PATH})
        if name not in self._built:
            self._built[name] = self._build(name, self._stages[name])
        return self._built[name]

    def _build(self, name: str, stage: Stage) -> Image:
        image = self.image(Template(stage.parent).substitute(self._arguments))
        known: dict[str, str] = {}
        for number, (word, rest) in enumerate(stage.steps):
            values = image.env | known
            if word == "ARG":
                key, _, default = rest.partition("=")
                known[key] = self._arguments.get(key, default)
            elif word == "ENV":
                set_ = (pair.split("=", 1) for pair in shlex.split(rest))
                image = replace(image, env=image.env | {key: Template(value).substitute(values) for key, value in set_})
            elif word == "USER":
                image = replace(image, user=Template(rest).substitute(values))
            elif word == "CMD":
                image = replace(image, command=tuple(json.loads(rest)))
            else:
                image = self._layer(f"{name}-{number}", image, word, rest, values)
        return image

    def _layer(self, name: str, image: Image, word: str, rest: str, values: dict[str, str]) -> Image:
        """WORKDIR, COPY or RUN: each leaves a layer."""
        layer, started = self._folder / "layers" / name, time.monotonic()
        layer.mkdir(parents=True)
        with self._mounted(image, layer) as root:
            if word == "WORKDIR":
                image = replace(image, folder=rest)
                (root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
            elif word == "COPY":
                self._copy(root, image.folder, shlex.split(rest))
            elif word == "RUN":
                self._run(root, image.folder, rest, values)
            else:
                raise NotImplementedError(word)
        size = sum(path.lstat().st_size for path in layer.rglob("*") if path.is_file() and not path.is_symlink())
        report(step=f"{word} {' '.join(rest.split())[:60]}", stage=name, bytes=size, seconds=started)
        return replace(image, layers=(*image.layers, layer))

    def _copy(self, root: Path, folder: str, words: list[str]) -> None:
        options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        *names, last = [word for word in words if not word.startswith("--")]
        target = root / folder.lstrip("/") / last if not last.startswith("/") else root / last.lstrip("/")
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(self._mounted(self.image(options["from"]))) if "from" in options else CONTEXT
            found = [path for name in names for path in sorted(source.glob(name.lstrip("/")))]
            assert found, f"Nothing to copy: {names}"
            for path in found:
                if path.is_dir():
                    shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True, ignore=ignored)
                else:
                    into = target / path.name if len(names) > 1 or last.endswith("/") else target
                    into.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(path, into)
        if "chown" in options:
            call("chroot", str(root), "chown", "-R", options["chown"], "/" + str(target.relative_to(root)))

    def _run(self, root: Path, folder: str, command: str, values: dict[str, str]) -> None:
        """As root. Secrets are in a file system in memory that goes with the step."""
        secrets = re.findall(r"--mount=type=secret,id=(\w+)", command)
        with lent(root, self._lent), memory(root / "run/secrets") as place:
            for secret in secrets:
                (place / secret).write_text(TOKENS[secret], "ascii")
            script = re.sub(r"--mount=\S+", "", command)
            call("chroot", str(root), "/bin/sh", "-c", f"cd {folder}; {script}", env=values | self._pip)

    def start(self, image: Image, *arguments: str) -> str:
        """What the image's command prints, run as its user."""
        layer = self._folder / "layers" / f"container-{image.user}"
        layer.mkdir(parents=True)
        with self._mounted(image, layer) as root, lent(root, LENT[:2]):
            command = shlex.join(["env", "-C", image.folder, *image.command, *arguments])
            place = ["chroot", f"--userspec={image.user}", str(root), "/bin/sh", "-c", f"exec {command}"]
            return call(*place, env=image.env | {"HOME": "/tmp"})

    @contextlib.contextmanager
    def _mounted(self, image: Image, upper: Path | None = None) -> Iterator[Path]:
        root, work = self._folder / f"root-{time.monotonic_ns()}", self._folder / f"work-{time.monotonic_ns()}"
        root.mkdir()
        work.mkdir()
        lower = f"lowerdir={':'.join(map(str, reversed(image.layers)))}"
        if upper is not None:
            lower += f",upperdir={upper},workdir={work}"
        elif len(image.layers) == 1:
            lower += f":{work}"
        call("mount", "-t", "overlay", "overlay", "-o", lower, str(root))
        try:
            yield root
        finally:
            call("umount", str(root))


def pip_settings() -> tuple[dict[str, str], list[str]]:
    """The host's settings of pip as variables, and the local places they name."""
    listed = call(sys.executable, "-m", "pip", "config", "list")
    pairs = [line.split("=", 1) for line in listed.splitlines() if line.startswith("global.")]
    variables = {
        f"PIP_{key[7:].replace('-', '_').upper()}": value.strip("'").replace("\\n", " ") for key, value in pairs
    }
    variables |= {key: value for key, value in os.environ.items() if key.lower().endswith("_proxy")}
    text = " ".join(variables.values()).replace("file://", "")
    named = sorted(set(re.findall(r"(?<![\w/])/[\w./-]+", text)))
    return variables, [path for path in named if Path(path).exists()]


@contextlib.contextmanager
def lent(root: Path, paths: tuple[str, ...]) -> Iterator[None]:
    """Show places of the host inside."""
    with contextlib.ExitStack() as stack:
        for path in filter(os.path.exists, paths):
            inside = root / path.lstrip("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.mkdir(exist_ok=True) if Path(path).is_dir() else inside.touch()
            call("mount", "--rbind", path, str(inside))
            stack.callback(call, "umount", "--lazy", str(inside))
        yield


@contextlib.contextmanager
def memory(place: Path) -> Iterator[Path]:
    place.mkdir(parents=True, exist_ok=True)
    call("mount", "-t", "tmpfs", "tmpfs", str(place))
    try:
        yield place
    finally:
        call("umount", str(place))


def ignored(_folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__" or name.endswith(".pyc")] if "venv" not in _folder else []


def call(*command: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(command)[:300]}\nended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def report(*, seconds: float, **found: object) -> None:
    print(json.dumps(found | {"seconds": round(time.monotonic() - seconds, 1)}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--debian", type=Path, help="a root made before")
    parser.add_argument("--lend", action="append", default=[], help="a further place of the host that pip needs")
    parser.add_argument("arguments", nargs="*", type=lambda text: tuple(text.split("=", 1)))
    asked = parser.parse_args()
    started, debian = time.monotonic(), asked.debian or asked.folder / "debian"
    if not debian.exists():
        call("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(debian))
    python = debian / "usr/local/bin/python"
    if not python.exists():
        python.symlink_to("/usr/bin/python3")
    report(step="debootstrap", seconds=started)
    build = Build(asked.folder, debian, dict(asked.arguments), asked.lend)
    image = build.image("worker")
    for user in ("worker", "root"):
        started = time.monotonic()
        told = build.start(replace(image, user=user), "--test_input", json.dumps(JOB))
        report(step="job", user=user, command=image.command, told=told, seconds=started)


if __name__ == "__main__":
    main()
