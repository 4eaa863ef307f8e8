"""The upscaler gives Fooocus's pixels from weights of every layout, tile by tile, with the memory there is."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from builder.demo.captions import plain
from builder.demo.world import draw
from handler.engine.esrgan import Esrgan, esrgan
from handler.engine.pickled import read_pickled
from handler.engine.step import Interrupted
from handler.engine.upscaler import Upscaler
from handler.engine.weights import WeightsError
from schemas.errors import InternalError, ModelMissing
from tests.support.golden import GOLDEN, assert_close, load_case, load_weights
from tests.support.models import CPU, DEMO

ROOT = Path(__file__).parents[3]
NAME = "fooocus_upscaler_s409985e5"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Fooocus's layout: numbered layers, `residual_block_N`."""
    return load_weights(GOLDEN / "esrgan" / "upscale_24x36" / "model.safetensors")


@pytest.fixture(scope="module")
def demo() -> Upscaler:
    return Upscaler.load([DEMO], CPU)


def drawn(width: int, height: int) -> np.ndarray:
    return np.asarray(draw(plain("red", "star", "white").scene, width, height))


def installed(folder: Path, state: dict[str, Tensor], name: str = f"{NAME}.safetensors") -> Path:
    """A models folder with these weights."""
    (folder / "upscale_models").mkdir()
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "upscale_models" / name)
    return folder


@pytest.mark.parametrize("name", ["upscale_24x36", "upscale_40x31"])
def test_pixels_are_those_of_fooocus(name: str, state: dict[str, Tensor]) -> None:
    case = load_case(f"esrgan/{name}")
    assert_close(case, "output_uint8", Upscaler(esrgan(state)).upscale(case.picture("image.png")))


NUMBERED = {"model.0.": "conv_first.", "model.3.": "conv_up1.", "model.6.": "conv_up2.", "model.8.": "conv_hr."}


def as_basicsr(name: str) -> str:
    """A numbered name in the words of Real-ESRGAN's files."""
    for number, word in (NUMBERED | {"model.10.": "conv_last.", "model.1.sub.1.": "conv_body."}).items():
        if name.startswith(number):
            return name.replace(number, word)
    name = re.sub(r"\.0\.(weight|bias)$", r".\1", name)
    return name.replace("model.1.sub.", "body.").replace("residual_block_", "rdb")


def as_first_esrgan(name: str) -> str:
    """A numbered name in the words of ESRGAN's first files."""
    words = {
        "conv_body.": "trunk_conv.", "body.": "RRDB_trunk.", "rdb": "RDB", "conv_up": "upconv", "conv_hr.": "HRconv."
    }  # fmt: skip
    name = as_basicsr(name)
    for new, old in words.items():
        name = name.replace(new, old)
    return name


@pytest.mark.parametrize(
    "layout", [as_basicsr, as_first_esrgan, lambda name: name.replace("residual_block_", "RDB")],
    ids=["Real-ESRGAN", "first ESRGAN", "numbered"],
)  # fmt: skip
def test_every_layout_of_names_gives_the_same_network(
    layout: Callable[[str], str], state: dict[str, Tensor], tmp_path: Path
) -> None:
    named = {layout(name): value for name, value in state.items()}
    assert named.keys() != state.keys()
    upscaler = Upscaler.load([installed(tmp_path, named)], CPU)
    picture = drawn(20, 14)
    assert np.array_equal(upscaler.upscale(picture), Upscaler(esrgan(state)).upscale(picture))


@pytest.mark.parametrize(("steps", "fold", "scale"), [(1, 1, 2), (2, 2, 2), (3, 1, 8)])
def test_the_scale_is_read_from_the_weights(steps: int, fold: int, scale: int) -> None:
    upscaler = Upscaler(esrgan(Esrgan(8, 4, 1, steps, fold).state_dict()))
    assert upscaler.scale == scale
    assert upscaler.upscale(drawn(21, 13)).shape == (13 * scale, 21 * scale, 3)


def test_a_folded_picture_keeps_its_place() -> None:
    """Each 2x2 of pixels becomes 12 channels and, with a network that only takes the first of them, four pixels."""
    network = Esrgan(3, 4, 1, 2, fold=2)
    for parameter in network.parameters():
        parameter.data.zero_()
    for colour in range(3):
        network.conv_first.weight.data[colour, 4 * colour, 1, 1] = 1.0
        for layer in (network.conv_up1, network.conv_up2, network.conv_hr, network.conv_last):
            layer.weight.data[colour, colour, 1, 1] = 1.0
    picture = drawn(7, 5)
    expected = picture[::2, ::2].repeat(4, axis=0).repeat(4, axis=1)[:10, :14]
    made = Upscaler(network).upscale(picture)
    assert made.shape == expected.shape
    assert np.abs(made.astype(int) - expected).max() <= 1


def test_tiles_give_what_the_whole_gives(demo: Upscaler) -> None:
    """But for what a tile's edge knows of its surroundings, which the blending all but hides."""
    picture = drawn(100, 80)
    whole = demo.upscale(picture).astype(int)
    difference = np.abs(Upscaler(demo.network, tile=64).upscale(picture) - whole)
    assert difference.max() <= 6
    assert difference.mean() <= 0.05


def test_progress_is_told_per_tile(demo: Upscaler) -> None:
    told: list[tuple[int, int]] = []
    Upscaler(demo.network, tile=64).upscale(drawn(70, 33), lambda done, tiles: told.append((done, tiles)))
    assert told == [(done, 6) for done in range(7)]


def test_a_listener_can_end_the_work_between_tiles(demo: Upscaler) -> None:
    told: list[int] = []

    def cancel(done: int, tiles: int) -> None:
        told.append(done)
        if done == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        Upscaler(demo.network, tile=64).upscale(drawn(128, 128), cancel)
    assert told == [0, 1, 2]


# In a process of its own, because the limit is the process's: address space that the first tile does not fit into.
CHILD = """
import json, resource, sys
from pathlib import Path
import numpy as np, torch
from handler.engine.upscaler import Upscaler
from schemas.errors import OutOfMemory

FREE = resource.getrlimit(resource.RLIMIT_AS)

def mapped_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmSize"))

upscaler = Upscaler.load([Path(sys.argv[1])], torch.device("cpu"))
upscaler.tile, upscaler.smallest_tile = 192, 96
pixels = np.random.default_rng(1).integers(0, 256, (12, 16, 3), np.uint8).repeat(12, 0).repeat(12, 1)

def outcome(headroom):
    told = []
    if headroom:
        resource.setrlimit(resource.RLIMIT_AS, (mapped_bytes() + headroom, FREE[1]))
    try:
        made = upscaler.upscale(pixels, lambda done, tiles: told.append(tiles))
        return {"mean": float(made.mean()), "tiles": list(dict.fromkeys(told))}
    except OutOfMemory:
        return {"mean": None, "tiles": list(dict.fromkeys(told))}
    finally:
        resource.setrlimit(resource.RLIMIT_AS, FREE)

print(json.dumps([outcome(int(mib) * 2**20) for mib in sys.argv[2:]]))
"""
RETURN_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
"""Freed memory leaves the address space, so that none is left over from earlier work."""


def test_tiles_shrink_until_they_fit_into_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(DEMO), "0", "70", "2"],
        cwd=ROOT, env=os.environ | RETURN_MEMORY, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    plenty, little, hardly_any = json.loads(done.stdout)
    assert plenty["tiles"] == [2]
    assert little["tiles"] == [2, 9]
    assert little["mean"] == pytest.approx(plenty["mean"], abs=0.5)
    assert hardly_any == {"mean": None, "tiles": [2, 9]}


def test_half_precision_is_near(demo: Upscaler, state: dict[str, Tensor]) -> None:
    picture = drawn(40, 30)
    half = Upscaler(esrgan(load_demo()).half()).upscale(picture).astype(int)
    assert np.abs(half - demo.upscale(picture)).max() <= 2


def test_a_picture_that_overflows_in_half_precision_is_made_in_full(state: dict[str, Tensor]) -> None:
    loud = state | {"model.0.weight": state["model.0.weight"] * 4e4, "model.0.bias": state["model.0.bias"] * 4e4}
    half = esrgan(loud).half()
    picture = drawn(12, 12)
    with torch.inference_mode():
        assert not torch.isfinite(half(torch.ones(1, 3, 4, 4).half())).all()
    made = Upscaler(half).upscale(picture)
    assert next(half.parameters()).dtype == torch.float16
    assert np.array_equal(made, Upscaler(half.float()).upscale(picture))


def test_numbers_that_are_no_picture_are_an_error(state: dict[str, Tensor]) -> None:
    broken = state | {"model.10.bias": torch.full((3,), math.nan)}
    with pytest.raises(InternalError):
        Upscaler(esrgan(broken)).upscale(drawn(8, 8))


def test_none_installed(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=rf"{NAME}\.bin.*python -m builder fetch {NAME}\.bin"):
        Upscaler.load([tmp_path], CPU)


def test_the_first_folder_that_has_one_is_used(state: dict[str, Tensor], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    other = installed(tmp_path / "other", state)
    assert len(Upscaler.load([tmp_path / "empty", other, DEMO], CPU).network.conv_first.weight) == 8


@pytest.mark.parametrize("without", ["model.0.weight", "model.1.sub.0.residual_block_2.conv3.0.bias", "model.10.bias"])
def test_an_incomplete_file_is_no_upscaler(without: str, state: dict[str, Tensor], tmp_path: Path) -> None:
    folder = installed(tmp_path, {name: value for name, value in state.items() if name != without})
    with pytest.raises(ModelMissing, match="cannot be used"):
        Upscaler.load([folder], CPU)


def test_a_pickled_file_must_be_the_catalogues(state: dict[str, Tensor], tmp_path: Path) -> None:
    (tmp_path / "upscale_models").mkdir()
    torch.save(state, tmp_path / "upscale_models" / f"{NAME}.bin")
    with pytest.raises(ModelMissing, match="not the file of the catalogue"):
        Upscaler.load([tmp_path], CPU)


def test_a_pickled_file_of_the_right_hash_is_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "RealESRGAN_x4plus.pth"
    torch.save({"params_ema": state}, path)
    found = read_pickled(path, hashlib.sha256(path.read_bytes()).hexdigest())
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    torch.save({"weights": Path("anything that is no tensor")}, path)
    with pytest.raises(WeightsError):
        read_pickled(path, hashlib.sha256(path.read_bytes()).hexdigest())


def load_demo() -> dict[str, Tensor]:
    return load_weights(DEMO / "upscale_models" / f"{NAME}.safetensors")


def psnr(made: np.ndarray, right: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.square(made.astype(float) - right).mean())


def test_the_demo_upscaler_draws_better_edges_than_bicubic(demo: Upscaler) -> None:
    gains = []
    for colour, shape, ground in (("red", "star", "white"), ("yellow", "ring", "blue"), ("black", "cross", "cyan")):
        right = draw(plain(colour, shape, ground).scene, 384, 384)
        small = right.resize((96, 96), Image.Resampling.BICUBIC)
        bicubic = np.asarray(small.resize((384, 384), Image.Resampling.BICUBIC))
        gains.append(psnr(demo.upscale(np.asarray(small)), np.asarray(right)) - psnr(bicubic, np.asarray(right)))
    assert np.mean(gains) >= 1.0, gains
