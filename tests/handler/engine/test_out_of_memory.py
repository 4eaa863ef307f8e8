"""A CPU that runs out of memory recovers: what failed for want of memory works again once there is some."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

# In a process of its own, because the limit is the process's. Each layer has a shape of its own and so needs code
# that oneDNN has not generated yet.
CHILD = """
import json, resource
from pathlib import Path
import torch
from handler.engine.failures import translated
from handler.gpu import GpuThread
from schemas.errors import OutOfMemory

FREE = resource.getrlimit(resource.RLIMIT_AS)
LAYERS = [torch.nn.Conv2d(channels, 64, 3, padding=1) for channels in range(8, 48)]
gpu = GpuThread()

def mapped_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize"))

def convolve(layer, limited):
    picture = torch.randn(1, layer.in_channels, 64, 64)
    with translated(lambda: None), torch.inference_mode():
        if limited:
            resource.setrlimit(resource.RLIMIT_AS, (mapped_bytes(), FREE[1]))
        try:
            layer(picture)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, FREE)

def outcome(layer, limited):
    try:
        gpu.run_now(lambda: convolve(layer, limited))
        return "fine"
    except OutOfMemory:
        return "out of memory"

limited = [outcome(layer, True) for layer in LAYERS[:20]]
print(json.dumps({"limited": limited, "free": [outcome(layer, False) for layer in LAYERS]}))
"""


def test_the_gpu_thread_works_again_after_running_out_of_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert "out of memory" in outcomes["limited"]
    assert set(outcomes["free"]) == {"fine"}
