"""The only room that knows torch: turns a Plan into pixels."""

from handler.deferred import arrange
from handler.engine.imports import RULES

arrange(RULES)
