"""`python -m handler` by hand: a picture in `outputs/`, the result as JSON on standard output, honest exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from tests.e2e.jobs import small
from tests.support.worker import HANDLER, clean_environment


def run_once(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *HANDLER, *arguments],
        cwd=home,
        env=clean_environment(home) | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def printed(text: str) -> Any:
    """The JSON object among the SDK's lines."""
    return json.JSONDecoder().raw_decode(text, text.index("{\n"))[0]


def test_a_job_from_test_input_json_leaves_its_picture_in_outputs(tmp_path: Path) -> None:
    (tmp_path / "test_input.json").write_text(json.dumps({"input": small(sync_mode=False)}))
    done = run_once(tmp_path)
    assert done.returncode == 0, done.stderr
    [image] = printed(done.stdout)["images"]
    [file] = files_below(tmp_path / "outputs")
    assert file.name == image["file_name"]
    with Image.open(file) as decoded:
        assert (decoded.format, decoded.size) == ("PNG", (128, 128))
    assert file.stat().st_size == image["file_size"]
    assert "step" in done.stderr, "There is no progress bar."
    assert list((tmp_path / "tmp").rglob("*")) == []


def test_a_bad_job_exits_1_and_names_the_field(tmp_path: Path) -> None:
    job = json.dumps({"input": {"prompt": "x", "num_images": 0}})
    done = run_once(tmp_path, "--test_input", job, FOOOCUS_WARM_UP="false")
    assert done.returncode == 1
    assert "body.num_images" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_checkpoint_that_is_not_there_exits_1_before_anything_starts(tmp_path: Path) -> None:
    done = run_once(tmp_path, FOOOCUS_CHECKPOINT="nowhere.safetensors")
    assert done.returncode == 1
    assert "nowhere.safetensors" in done.stderr
    assert "Traceback" not in done.stderr
