"""`python -m builder.demo`."""

from __future__ import annotations

import sys

from builder.demo import main

sys.exit(main(sys.argv[1:]))
