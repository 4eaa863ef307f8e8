"""The demo bundle: a tiny SDXL trained on a drawn world (`docs/demo-world.md`)."""

from __future__ import annotations


def main(argv: list[str]) -> int:
    """Run `demo <argv>`; torch is loaded only here."""
    from builder.demo.cli import main as run

    return run(argv)
