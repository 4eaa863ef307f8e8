"""Modules that libraries import on the way to what is used here: loaded when something asks for them, or never.

A worker's start is mostly imports, and most of those are for what it never calls. Modules that a library imports
before `arrange` named them stay as they are.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_LOADER = "__deferred_loader__"
_LOCK = "__deferred_lock__"
_ALONE = "__deferred_alone__"


class DeferredModule(ModuleType):
    """A module whose code runs when it is asked for a name it does not have yet.

    Code that fails runs again at the next such question. Code that puts another module in this one's place in
    `sys.modules` has that one answer.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__dict__[_LOCK] = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        if _is_special(name):
            raise AttributeError(name)
        with self.__dict__[_LOCK]:
            self._run()
        return self._answer(name)

    def run_before(self, submodule: str) -> None:
        """Run the code unless this submodule is one of those that do without, or the code runs already."""
        alone = self.__dict__.get(_ALONE)
        if alone is not None and submodule not in alone and self.__dict__[_LOCK].acquire(blocking=False):
            try:
                self._run()
            finally:
                self.__dict__[_LOCK].release()

    def _run(self) -> None:
        loader = self.__dict__.pop(_LOADER, None)
        if loader is None:
            return
        try:
            loader.exec_module(self)
        except BaseException:
            self.__dict__[_LOADER] = loader
            raise

    def _answer(self, name: str) -> Any:
        successor = sys.modules.get(self.__name__, self)
        if successor is not self:
            return getattr(successor, name)
        if name in self.__dict__:
            return self.__dict__[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def _is_special(name: str) -> bool:
    """Names that are asked of any module in passing; `import *` asks for `__all__`, and means it."""
    return name.startswith("__") and name.endswith("__") and name != "__all__"


@dataclass(frozen=True)
class _Around(Loader):
    """Any loader, with something else in one place or another."""

    loader: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


@dataclass(frozen=True)
class Later(_Around):
    """Makes a DeferredModule.

    names: what it has from the start; its own code replaces them when it runs. alone: the submodules that import
    without the package's code, where not all can.
    """

    names: Mapping[str, Any] = field(default_factory=dict)
    alone: Collection[str] | None = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update({**self.names, _LOADER: self.loader, _ALONE: self.alone})


@dataclass(frozen=True)
class Replaced(_Around):
    """Runs the module's code, then puts `names` in place of its own."""

    names: Mapping[str, Any] = field(default_factory=dict)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        module.__dict__.update(self.names)


Rule = Callable[[Any], Loader]
"""A module's own loader -> the one it is loaded by."""


@dataclass(frozen=True)
class _Present(Loader):
    """For a module that its package's code has imported while it was looked for."""

    module: ModuleType
    spec: ModuleSpec | None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


@dataclass(frozen=True)
class _Finder:
    rules: Mapping[str, Rule]

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        package = sys.modules.get(name.rpartition(".")[0])
        if isinstance(package, DeferredModule):
            package.run_before(name)
            present = sys.modules.get(name)
            if present is not None and target is None:
                return ModuleSpec(name, _Present(present, present.__spec__))
        if name not in self.rules:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = self.rules[name](spec.loader)
        return spec


def arrange(rules: Mapping[str, Rule]) -> None:
    """From now on modules of these names are loaded by these rules. Those that are not installed stay so."""
    sys.meta_path.insert(0, _Finder(rules))  # type: ignore[arg-type]
