"""The file RunPod's Hub looks for in a repository. The worker is `python -m handler`, which this starts."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    # Before this folder, where `handler` would be this file.
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    runpy.run_module("handler", run_name="__main__", alter_sys=True)
