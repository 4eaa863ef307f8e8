"""docs/runpod.md is true: its jobs are valid, its Python runs, its settings exist, its links lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from handler.settings import Settings
from handler.storage.settings import StorageSettings
from schemas.request import parse_request
from tests.test_readme import variables

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "runpod.md").read_text("utf-8")
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
JOBS = [example["input"] for example in EXAMPLES if "input" in example]
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.get("endpoint", "text-to-image"))
def test_the_jobs_are_valid(job: dict[str, object]) -> None:
    parse_request(job)


def test_the_python_runs() -> None:
    (block,) = PYTHON
    exec(block, {})


def test_the_templates_environment_is_what_the_worker_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    (template,) = (example for example in EXAMPLES if "env" in example)
    for name, value in template["env"].items():
        assert name in variables()
        monkeypatch.setenv(name, value)
    Settings()
    StorageSettings()


def test_every_setting_it_names_exists() -> None:
    named = set(re.findall(r"\b(?:FOOOCUS|BUCKET|GATEWAY)_[A-Z_]+[A-Z]", TEXT))
    assert named
    assert named <= set(variables())


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert links
    assert [target for target in links if not (DOCS / target).exists()] == []
