"""`python -m benchmarks.parity DIR`: exits with 0 when every group was compared and is within its tolerance.

With 1 when a vector fails, is of no known kind or is not covered, or of a group none was compared; with 2 for a DIR
that is no set of vectors, or holds none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.parity.check import check_set
from benchmarks.parity.report import passed, text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR", help="a set of vectors: index.json, cases, weights")
    root = parser.parse_args(arguments).directory.resolve()
    try:
        outcomes = list(check_set(root))
    except (OSError, ValueError, KeyError) as error:
        print(f"{root} is no set of vectors: {error}", file=sys.stderr)
        return 2
    print(text(outcomes))
    return 0 if passed(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
