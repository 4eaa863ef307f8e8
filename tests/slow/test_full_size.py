"""A checkpoint of SDXL's full size with random weights loads and computes on a CPU, in the memory it needs.

Writes 6.9 GB to the temporary folder and removes it. Run by hand: pytest --run-slow -s tests/slow/test_full_size.py
"""

from __future__ import annotations

import json
import math
import resource
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from handler.engine.blueprint import COMPONENTS, build, read_config
from handler.engine.checkpoint import BUILT_IN, SdxlModel, load
from handler.engine.conditioning import Side, TextEncoder
from handler.engine.sources import SINGLE_FILE
from handler.engine.vae import decode
from tests.support.models import CPU, write_tokenizer

pytestmark = pytest.mark.slow

SIDE = 256
GIB = 2**30
BLOCK = 2**24
SCALE = 0.02
"""Standard deviation of the weights: small enough for finite activations."""


def stored_shapes() -> Iterator[tuple[str, list[int]]]:
    """(LDM name, shape) of every tensor of an SDXL base checkpoint."""
    for name in COMPONENTS:
        config = read_config(BUILT_IN, name)
        network = build(name, config)
        places = SINGLE_FILE[name][1](config, network.state_dict())
        for key, parameter in network.state_dict().items():
            place, shape = places[key], list(parameter.shape)
            if place.part == 0:
                rows = shape[0] * place.parts
                stored = [rows, *shape[1:]] if not place.transposed else shape[::-1]
                yield place.name, [*stored, 1, 1] if ".attn_1." in place.name and len(shape) == 2 else stored


def write_checkpoint(path: Path) -> int:
    """Write random float16 weights, block by block. Returns the file's size in bytes."""
    header: dict[str, object] = {}
    end = 0
    for name, shape in stored_shapes():
        begin, end = end, end + math.prod(shape) * 2
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    noise = torch.randn(BLOCK, generator=torch.Generator().manual_seed(1)).mul_(SCALE).half().numpy().tobytes()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for start in range(0, end, len(noise)):
            file.write(noise[: end - start])
    return path.stat().st_size


def peak() -> int:
    """The most memory this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@torch.no_grad()
def step(model: SdxlModel) -> torch.Tensor:
    """One denoising call of the UNet for a 256x256 picture."""
    (told,) = TextEncoder(model).encode([Side(("a plain word",), 1)], 2)
    latent = torch.randn(1, 4, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(2))
    ids = torch.tensor([[SIDE, SIDE, 0, 0, SIDE, SIDE]])
    added = {"text_embeds": told.pooled, "time_ids": ids}
    return model.unet(latent, torch.tensor([999.0]), told.cond, added_cond_kwargs=added).sample


def timed(label: str, started: float) -> float:
    now = time.perf_counter()
    print(f"{label}: {now - started:.1f} s, {time.process_time():.1f} s of CPU so far, peak {peak() / GIB:.2f} GiB")
    return now


def test_full_size(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "clip" / "tokenizer")
    path = tmp_path / "full.safetensors"
    try:
        size = write_checkpoint(path)
        at = time.perf_counter()
        print(f"\nfile: {size:,} bytes, peak {peak() / GIB:.2f} GiB")
        model = load(path, CPU, torch.float32, tmp_path / "configs")
        at = timed("load", at)
    finally:
        path.unlink(missing_ok=True)
    assert 6.9e9 < size < 7.0e9
    assert sum(p.numel() for network in model.networks.values() for p in network.parameters()) * 2 == pytest.approx(
        size, rel=1e-3
    )
    assert peak() < 2 * size + 2 * GIB
    eps = step(model)
    at = timed("text and one UNet step", at)
    assert eps.isfinite().all()
    picture = decode(model.vae, torch.randn(1, 4, SIDE // 8, SIDE // 8))
    timed("decode", at)
    assert picture.shape == (SIDE, SIDE, 3)
    assert peak() < 24 * GIB
