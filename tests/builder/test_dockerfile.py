"""The Dockerfile, read as text and its copy steps replayed: pinned, complete, free of secrets, python as PID 1."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from handler.settings import Settings
from schemas.catalogue import SETS, for_set

ROOT = Path(__file__).parents[2]
SECRETIVE = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|API_?KEY|ACCESS_KEY", re.IGNORECASE)


@dataclass
class Stage:
    """A stage and its (instruction, arguments) pairs in order."""

    name: str
    parent: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.steps if name == instruction]

    def environment(self) -> dict[str, str]:
        pairs = (pair for line in self.all("ENV") for pair in line.split())
        return dict(pair.split("=", 1) for pair in pairs)


@dataclass(frozen=True)
class Copy:
    sources: tuple[str, ...]
    target: str
    stage: str | None


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in joined.splitlines()]


def stages() -> dict[str, Stage]:
    found: dict[str, Stage] = {}
    for instruction, arguments in instructions():
        if instruction == "FROM":
            parent, _, name = arguments.partition(" AS ")
            found[name] = stage = Stage(name, parent)
        elif found:
            stage.steps.append((instruction, arguments))
    return found


def copies(stage: Stage) -> list[Copy]:
    return [as_copy(arguments) for arguments in stage.all("COPY")]


def as_copy(arguments: str) -> Copy:
    words = arguments.split()
    flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    *sources, target = [word for word in words if not word.startswith("--")]
    return Copy(tuple(sources), target, flags.get("from"))


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps `path` (a file, relative to the root) out: the last pattern that fits decides."""
    verdict = False
    parts = path.split("/")
    prefixes = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        anywhere = pattern.removeprefix("**/")
        tails = [anywhere, f"*/{anywhere}"] if anywhere != pattern else [pattern]
        if any(fnmatchcase(prefix, tail) for prefix in prefixes for tail in tails):
            verdict = not line.startswith("!")
    return verdict


def context_files(source: str) -> list[Path]:
    """The files that `COPY source` of the build context takes."""
    found = (file for path in ROOT.glob(source) for file in ([path] if path.is_file() else path.rglob("*")))
    return [file for file in found if file.is_file() and not ignored(file.relative_to(ROOT).as_posix())]


def replay(stage: Stage, folder: Path) -> None:
    """Do the COPY steps that take files of the build context, below `folder`."""
    for copy in copies(stage):
        if copy.stage:
            continue
        for source in copy.sources:
            for file in context_files(source):
                base = ROOT / source if (ROOT / source).is_dir() else file.parent
                target = folder / copy.target / file.relative_to(base)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)


def test_stages() -> None:
    assert list(stages()) == ["base", "dependencies", "models", *(f"worker-{name}" for name in SETS), "worker"]


def test_one_outside_image_of_an_exact_version() -> None:
    outside = [stage.parent for stage in stages().values() if stage.parent not in stages()]
    assert outside == [stages()["base"].parent, "worker-${MODELS}"]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", outside[0])


def test_no_models_unless_asked() -> None:
    first = next(arguments for instruction, arguments in instructions() if instruction == "ARG")
    assert first == "MODELS=none"
    assert stages()["models"].all("ARG") == ["MODELS"]


@pytest.mark.parametrize("name", SETS)
def test_a_set_with_a_checkpoint_is_used(name: str) -> None:
    """The worker of a set starts with the set's checkpoint; without one it starts with the demo model."""
    stage, environment = f"worker-{name}", {}
    while stage in stages():
        environment = stages()[stage].environment() | environment
        stage = stages()[stage].parent
    checkpoints = {file.name for file in for_set(name) if file.folder == "checkpoints"}
    chosen = environment.get("FOOOCUS_CHECKPOINT")
    assert chosen in checkpoints if checkpoints else chosen is None


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    for stage in stages().values():
        for copy in copies(stage):
            for source in copy.sources:
                assert copy.stage in list(stages()) if copy.stage else context_files(source), source


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", "models/checkpoints/x.safetensors", "outputs/x.png", "tests/conftest.py",
     ".env", "handler/__pycache__/job.cpython-311.pyc", "builder/demo/x.pyc", "docs/models.md"],
)  # fmt: skip
def test_what_stays_out_of_the_build_context(path: str) -> None:
    assert ignored(path)


def test_python_is_the_first_process() -> None:
    last = stages()["worker"]
    assert last.steps[-1][0] == "CMD"
    assert json.loads(last.steps[-1][1]) == ["python", "-u", "-m", "handler"]
    assert not any(instruction in ("ENTRYPOINT", "SHELL") for instruction, _ in instructions())
    assert (ROOT / "handler" / "__main__.py").is_file()


def test_secrets_are_mounted_and_never_kept() -> None:
    kept = [arguments for instruction, arguments in instructions() if instruction in ("ENV", "ARG", "LABEL")]
    assert not [line for line in kept if SECRETIVE.search(line)]
    users = [
        (stage.name, arguments)
        for stage in stages().values()
        for arguments in stage.all("RUN")
        if SECRETIVE.search(arguments)
    ]
    assert [name for name, _ in users] == ["models"]
    run = users[0][1]
    assert re.findall(r"--mount=type=secret,id=(\S+)", run) == ["hf_token", "civitai_token"]
    assert "echo" not in run
    assert "set -x" not in run


def test_no_step_downloads_past_pip_and_builder() -> None:
    runs = [arguments for stage in stages().values() for arguments in stage.all("RUN")]
    assert not [run for run in runs if re.search(r"\b(curl|wget|git|apt-get|apt)\b", run)]
    assert not [arguments for stage in stages().values() for arguments in stage.all("ADD")]


def test_the_environment_is_what_the_worker_reads() -> None:
    environment = stages()["worker-none"].environment()
    assert environment["RUNPOD_LOG_LEVEL"] in ("DEBUG", "INFO", "WARN", "ERROR")
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert stages()["base"].environment()["PYTHONUNBUFFERED"] == "1"
    ours = {
        name.removeprefix("FOOOCUS_").lower()
        for stage in stages().values()
        for name in stage.environment()
        if name.startswith("FOOOCUS_")
    }
    assert ours == {"models_dir", "checkpoint"}
    assert ours <= set(Settings.model_fields)


def test_test_input_lies_in_the_working_directory(tmp_path: Path) -> None:
    """So that `docker run` without the platform's variables renders it."""
    worker = stages()["worker-none"]
    assert worker.all("WORKDIR") == ["/app"]
    replay(worker, tmp_path)
    assert json.loads((tmp_path / "test_input.json").read_text(encoding="utf-8"))["input"]


def test_the_models_stage_copies_enough_to_fetch(tmp_path: Path) -> None:
    replay(stages()["models"], tmp_path)
    assert not (tmp_path / "handler").exists()
    command = [sys.executable, "-m", "builder", "fetch", "--set", "none", "--models-dir", str(tmp_path / "models")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models").is_dir()


def test_the_requirements_line_yields_the_project_s_dependencies(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    run = next(run for run in stages()["dependencies"].all("RUN") if "tomllib" in run)
    script = re.search(r'python -c "([^"]+)"', run)
    assert script
    done = subprocess.run(
        [sys.executable, "-c", script[1]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert any(line.startswith("runpod") for line in lines)
    assert [line for line in lines if line.startswith("torch==")]
    assert not [line for line in lines if line.startswith(("pytest", "ruff"))]
