"""`python -m builder` as an operator runs it: exit statuses, words, and the real catalogue through a mirror."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.__main__ import main
from builder.listing import as_page
from schemas.catalogue import CATALOGUE, for_set
from tests.builder.server import Fault, Site
from tests.support.worker import wait_for

ROOT = Path(__file__).parents[2]
PREPROCESSOR = "safety_checker/preprocessor_config.json"
PREPROCESSOR_URL = (
    "/stable-diffusion-v1-5/stable-diffusion-v1-5/resolve/main/feature_extractor/preprocessor_config.json"
)
PREPROCESSOR_BYTES = b"""\
{
  "crop_size": 224,
  "do_center_crop": true,
  "do_convert_rgb": true,
  "do_normalize": true,
  "do_resize": true,
  "feature_extractor_type": "CLIPFeatureExtractor",
  "image_mean": [
    0.48145466,
    0.4578275,
    0.40821073
  ],
  "image_std": [
    0.26862954,
    0.26130258,
    0.27577711
  ],
  "resample": 3,
  "size": 224
}
"""
SECRET = "hf_very_secret"


@pytest.fixture
def mirror(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site as a mirror of Hugging Face, with the one catalogue file that is small enough to write down."""
    site.files[PREPROCESSOR_URL] = PREPROCESSOR_BYTES
    monkeypatch.setenv("HF_MIRROR", site.base)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    return site


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def start(models: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "builder", *arguments, "--models-dir", str(models)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(models: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(models, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def rests(process: subprocess.Popen[str]) -> bool:
    """Whether it sleeps for a while, for want of anything to do; one that only waits for its turn does not."""
    for _ in range(30):
        if Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            return False
        time.sleep(0.01)
    return True


def names(models: Path) -> list[str]:
    return sorted(path.relative_to(models).as_posix() for path in models.rglob("*") if path.is_file())


def test_fetch_then_verify(mirror: Site, models: Path) -> None:
    status, _, err = run(models, "fetch", PREPROCESSOR)
    assert status == 0, err
    assert (models / PREPROCESSOR).read_bytes() == PREPROCESSOR_BYTES
    assert names(models) == [PREPROCESSOR]
    assert "licence: CreativeML OpenRAIL-M" in err
    assert "1 of 1 files" in err
    assert SECRET not in str(mirror.seen)
    assert SECRET not in err
    status, out, _ = run(models, "verify")
    assert status == 0
    assert out.splitlines()[1].split() == [PREPROCESSOR, "342", "B", "ok"]


def test_a_failed_fetch_exits_with_1(mirror: Site, models: Path) -> None:
    mirror.files[PREPROCESSOR_URL] = PREPROCESSOR_BYTES[::-1]
    status, _, err = run(models, "fetch", "preprocessor_config.json")
    assert status == 1
    assert "the catalogue says 2a1da83b" in err
    assert "0 of 1 files" in err
    assert names(models) == []


def test_ctrl_c_keeps_what_arrived(mirror: Site, models: Path, release: threading.Event) -> None:
    mirror.faults[PREPROCESSOR_URL].append(Fault(hold=release))
    process = start(models, "fetch", PREPROCESSOR)
    part = models / f"{PREPROCESSOR}.part"
    wait_for(lambda: mirror.seen and part.exists(), 60, "the first bytes")
    wait_for(lambda: rests(process), 60, "the process to have read them")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "the same command continues it" in err
    assert "Traceback" not in err
    assert names(models) == [f"{PREPROCESSOR}.part"]
    assert part.read_bytes() == PREPROCESSOR_BYTES[:171]

    release.set()
    status, _, err = run(models, "fetch", PREPROCESSOR)
    assert status == 0, err
    assert mirror.seen[-1].headers["range"] == "bytes=171-"
    assert names(models) == [PREPROCESSOR]


def test_two_processes_fetch_a_file_once(mirror: Site, models: Path) -> None:
    mirror.always[PREPROCESSOR_URL] = Fault(delay=1.5)
    processes = [start(models, "fetch", PREPROCESSOR) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert len(mirror.seen) == 1
    assert names(models) == [PREPROCESSOR]
    assert any("already here" in err for err in errors)


def test_verify_tells_damage_size_and_absence(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = models / PREPROCESSOR
    path.parent.mkdir(parents=True)
    arguments = ["verify", PREPROCESSOR, "safety_checker/config.json", "--models-dir", str(models)]
    for body, word in [(PREPROCESSOR_BYTES[::-1], "damaged"), (b"{}", "wrong size")]:
        path.write_bytes(body)
        assert main(arguments) == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[1].endswith("missing")
        assert lines[2].endswith(word)
        assert lines[-1] == "0 of 2 files usable"
        assert path.read_bytes() == body


def test_verify_of_an_empty_folder_is_fine(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--models-dir", str(models)]) == 0
    assert "0 of 0 files" in capsys.readouterr().out


def test_the_models_folder_comes_from_the_environment(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = models / PREPROCESSOR
    path.parent.mkdir(parents=True)
    path.write_bytes(PREPROCESSOR_BYTES)
    monkeypatch.setenv("FOOOCUS_MODELS_DIR", str(models))
    assert main(["verify"]) == 0
    assert "1 of 1 files" in capsys.readouterr().out


def test_the_empty_set_fetches_nothing_and_makes_the_folder(models: Path) -> None:
    assert main(["fetch", "--set", "none", "--models-dir", str(models)]) == 0
    assert models.is_dir()
    assert names(models) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fetch"], "say what to fetch"),
        (["fetch", "sdxl_lcm"], "did you mean 'loras/sdxl_lcm_lora.safetensors'"),
        (["fetch", "vocab.json"], "several files are called vocab.json: clip/tokenizer/vocab.json, prompt_exp"),
        (["fetch", "https://example.com/x.safetensors"], "has no file"),
        (["fetch", "../../etc/passwd"], "has no file"),
        (["list", "--feature", "inpant"], "did you mean 'inpaint'"),
        (["verify", "--set", "everything"], "known: none, default, speed, full"),
    ],
)
def test_what_is_not_understood_exits_with_2(
    arguments: list[str], words: str, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--models-dir", str(models)]) == 2
    assert words in capsys.readouterr().err
    assert not models.exists()


def test_list_as_json(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--set", "default", "--json", "--models-dir", str(models)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [file["path"] for file in listed] == [file.path for file in for_set("default")]
    assert {file["state"] for file in listed} == {"missing"}
    assert listed[0]["sha256"] == CATALOGUE[0].sha256


def test_list_as_a_table(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--models-dir", str(models)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CATALOGUE) + 2
    assert lines[1].split()[:4] == [CATALOGUE[0].path, "7.1", "GB", "missing"]
    assert lines[-1].startswith(f"{len(CATALOGUE)} files, over ")


def test_names_features_and_sets_add_up(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["list", "RealESRGAN_x4plus.pth", "--feature", "upscale", "--feature", "inpaint", "--json"]
    assert main([*arguments, "--models-dir", str(models)]) == 0
    assert [file["name"] for file in json.loads(capsys.readouterr().out)] == [
        "fooocus_inpaint_head.pth",
        "inpaint_v26.fooocus.patch",
        "fooocus_upscaler_s409985e5.bin",
        "RealESRGAN_x4plus.pth",
    ]


def test_docs_models_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    """Write it anew with `python -m builder list --markdown > docs/models.md`."""
    assert main(["list", "--markdown"]) == 0
    assert capsys.readouterr().out == as_page() == (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


def test_the_page_names_every_file_and_every_note() -> None:
    page = as_page()
    assert all(f"[`{file.path}`]({file.urls[0]})" in page for file in CATALOGUE)
    assert all(f"- `{file.path}`: {file.note}" in page for file in CATALOGUE if file.note)


def test_everything_but_the_demo_runs_without_torch(models: Path) -> None:
    script = (
        "import sys; from builder.__main__ import main; "
        f"main(['verify', '--models-dir', {str(models)!r}]); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_demo_hands_its_arguments_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["demo", "--help"])
    assert exit_.value.code == 0
    assert "demo" in capsys.readouterr().out
