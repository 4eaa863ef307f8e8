"""Modules that load later: what they have at once, what makes them load, and what others are told of them."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from handler.deferred import Later, Replaced, Rule, arrange

PACKAGE = """
import time
runs = globals().get("runs", 0) + 1
time.sleep(0.05)
from .part import answer
def stand_in(): return "real"
"""

WAITING = """
import threading
answer = []
thread = threading.Thread(target=lambda: answer.append(other.answer), daemon=True)
thread.start()
thread.join(5)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a package on the path, with a submodule `part`."""
    name = f"deferred_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(PACKAGE)
    (tmp_path / name / "part.py").write_text("answer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    yield name
    for module in (name, f"{name}.part", f"{name}.light"):
        sys.modules.pop(module, None)


def imported(name: str, rule: Rule) -> ModuleType:
    arrange({name: rule})
    return importlib.import_module(name)


def ran(module: ModuleType) -> bool:
    return "runs" in vars(module)


def test_a_submodule_does_not_run_its_package(package: str) -> None:
    module = imported(package, Later)
    assert importlib.import_module(f"{package}.part").answer == 42
    assert not ran(module)


def test_a_submodule_may_need_its_package_first(package: str, tmp_path: Path) -> None:
    """`part` cannot begin before its package; `light` can."""
    (tmp_path / package / "part.py").write_text(f"from {package} import time\nanswer = 42\n")
    (tmp_path / package / "light.py").touch()
    module = imported(package, partial(Later, alone={f"{package}.light"}))
    importlib.import_module(f"{package}.light")
    assert not ran(module)
    part = importlib.import_module(f"{package}.part")
    assert (part.answer, module.runs) == (42, 1)
    assert vars(module)["part"] is sys.modules[f"{package}.part"] is part
    assert part.__spec__.origin == part.__file__


def test_a_name_it_lacks_runs_it_once(package: str) -> None:
    module = imported(package, Later)
    assert not hasattr(module, "__wrapped__")
    assert not ran(module)
    assert (module.answer, module.runs) == (42, 1)
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        _ = module.absent
    assert module.runs == 1


def test_a_stand_in_does_until_the_real_one_is_there(package: str) -> None:
    module = imported(package, partial(Later, names={"stand_in": lambda: "stand-in"}))
    assert module.stand_in() == "stand-in"
    assert not ran(module)
    assert (module.answer, module.stand_in()) == (42, "real")


def test_threads_that_ask_at_once_get_the_same(package: str) -> None:
    module = imported(package, Later)
    barrier, answers = threading.Barrier(4), []

    def ask() -> None:
        barrier.wait()
        answers.append((module.answer, module.runs))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(42, 1)] * 4


def test_code_that_fails_runs_again(package: str, tmp_path: Path) -> None:
    part = tmp_path / package / "part.py"
    part.write_text("raise OSError('not now')\n")
    module = imported(package, Later)
    for _ in range(2):
        with pytest.raises(OSError, match="not now"):
            _ = module.answer
    part.write_text("answer = 42\n")
    assert (module.answer, module.runs) == (42, 3)


def test_a_module_in_its_place_answers(package: str, tmp_path: Path) -> None:
    code = "import sys, types\nsys.modules[__name__] = types.SimpleNamespace(answer=43)\n"
    (tmp_path / package / "__init__.py").write_text(code)
    module = imported(package, Later)
    assert (module.answer, module.answer) == (43, 43)
    sys.modules[package].later = 44  # type: ignore[attr-defined]
    assert module.later == 44
    with pytest.raises(AttributeError):
        _ = module.absent


def test_import_star_runs_it(package: str, tmp_path: Path) -> None:
    with (tmp_path / package / "__init__.py").open("a") as file:
        file.write("__all__ = ['answer']\n")
    arrange({package: Later})
    names: dict[str, object] = {}
    exec(f"from {package} import *", names)
    assert names["answer"] == 42


def test_one_that_loads_holds_up_no_other(package: str, tmp_path: Path) -> None:
    """Its code waits for a thread that asks another deferred module."""
    (tmp_path / package / "__init__.py").write_text(WAITING)
    (tmp_path / f"{package}_other.py").write_text("answer = 42\n")
    module, other = imported(package, Later), imported(f"{package}_other", Later)
    vars(module)["other"] = other
    try:
        assert module.answer == [42]
    finally:
        del sys.modules[f"{package}_other"]


def test_names_are_replaced_after_the_modules_own_code(package: str) -> None:
    module = imported(package, partial(Replaced, names={"answer": 41}))
    assert (module.answer, module.stand_in()) == (41, "real")


def test_what_is_not_installed_stays_so() -> None:
    before = list(sys.meta_path)
    try:
        arrange({"certainly_not_installed": Later})
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("certainly_not_installed")
    finally:
        sys.meta_path[:] = before
