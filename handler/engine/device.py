"""Which device renders, and in which number type each network computes there."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from handler.engine.failures import free
from schemas.errors import DeviceLost, OutOfMemory

AMPERE = (8, 0)


def choose(name: str) -> torch.device:
    """name: `auto`, `cpu`, `cuda` or `cuda:N`. `auto` is the first GPU, or the CPU where there is none.

    Raises ValueError for a name torch does not know or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device {name!r} is not a device") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {name!r} is not present")
    return device


def check_usable(name: str, promised: str = "0") -> None:
    """Compute something on the device. promised: how many GPUs the platform says this machine has.

    Raises ValueError (see `choose`), and DeviceLost for a GPU that does not compute or that torch does not see.
    """
    device = choose(name)
    if device.type == "cpu" and name == "auto" and promised not in ("", "0"):
        raise DeviceLost(
            f"The platform promises {promised} GPU(s) and torch sees none. Usually the host's driver is too old: "
            f"torch {torch.__version__} is built for CUDA {torch.version.cuda}"
        )
    try:
        total = torch.ones(64, 64, device=device).matmul(torch.ones(64, 64, device=device)).sum().item()
    except RuntimeError as error:
        raise DeviceLost(f"The device {device} does not compute: {str(error).splitlines()[0]}") from error
    if total != 64**3:
        raise DeviceLost(f"The device {device} computes wrongly: {total} instead of {64**3}")


def unet_dtype(device: torch.device) -> torch.dtype:
    """float16 on a GPU, as Fooocus has it; float32 on a CPU, where float16 is slow."""
    return torch.float16 if device.type == "cuda" else torch.float32


def vae_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on Ampere or newer, else float32. Never float16: SDXL's VAE overflows in it to black pictures."""
    modern = device.type == "cuda" and torch.cuda.get_device_capability(device) >= AMPERE
    return torch.bfloat16 if modern else torch.float32


def memory_format(device: torch.device) -> torch.memory_format:
    """cuDNN's convolutions want channels last; the CPU's do not care."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format


def require_memory(device: torch.device, needed: int) -> None:
    """Raise OutOfMemory now rather than have the system kill the worker halfway. `needed` is in bytes."""
    left = _free(device)
    if needed > left:
        free()  # Torch keeps what was let go of, and the driver counts that as taken.
        left = _free(device)
    if needed > left:
        raise OutOfMemory(f"the model needs {needed / 2**30:.1f} GiB of memory and {left / 2**30:.1f} GiB are free")


def spare(device: torch.device) -> int:
    """Bytes of a GPU that nobody uses, torch's own reserve included."""
    free()
    return int(_free(device))


def _free(device: torch.device) -> float:
    """Bytes; infinity where it cannot be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    table = Path("/proc/meminfo")
    if not table.exists():
        return math.inf
    rows = dict(line.split(":", 1) for line in table.read_text().splitlines())
    return int(rows["MemAvailable"].split()[0]) * 1024
