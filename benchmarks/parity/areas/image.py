"""Sizes, resizing, channels and grids of pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.parity.kind import Kind, Results, has_rows_of
from benchmarks.parity.networks import Networks
from benchmarks.parity.outcome import NotCovered
from benchmarks.parity.vectors import EXPECTED, INPUT, Case
from handler.media.encode import to_uint8
from handler.pixels.canny import pyra_canny
from handler.pixels.cpds import cpds
from handler.pixels.resize import ResizeMode, image_grid, lanczos, resize, three_channels
from handler.plan.sizes import VARY_DENOISE, fit_class, size_class, upscale_size, vary_size
from schemas.enums import UovMethod

CPDS = "cpds"
PYRA_CANNY = "pyra_canny_"
METHODS = {method.lower(): method for method in UovMethod}


def size_classes(case: Case, networks: Networks) -> Results:
    return {"expected_json": [row | _class_of(row) for row in case.expected_json]}


def _class_of(row: dict[str, Any]) -> dict[str, Any]:
    given = row["height"], row["width"]
    size = fit_class(*given, row["target"])
    return {"shape_ceil": size_class(*given), "resized_to_hw": None if size == given else list(size)}


def uov_sizes(case: Case, networks: Networks) -> Results:
    return {"expected_json": [row | _uov_size(row) for row in case.expected_json]}


def _uov_size(row: dict[str, Any]) -> dict[str, Any]:
    method = METHODS[row["method"]]
    find = vary_size if method in VARY_DENOISE else upscale_size
    size = find(row["height"], row["width"], method)
    direct = size.denoise == 0.0
    made: dict[str, Any] = {
        "image_hw": list(size.image),
        "denoise": None if direct else size.denoise,
        "height_used": None if direct else size.denoised[0],
        "width_used": None if direct else size.denoised[1],
    }
    if method not in VARY_DENOISE:
        made |= {"direct_return": direct, "tiled": None if direct else size.tiled}
    return made


def resized_items(case: Case, networks: Networks) -> Results:
    results = {}
    for item in case.parameters["items"]:
        pixels = case.picture(item["image"])
        if "mode" in item:
            results[item["result"]] = resize(pixels, item["width"], item["height"], ResizeMode(item["mode"]))
        elif item.get("function", "").startswith("resample"):
            results[item["result"]] = lanczos(pixels, item["width"], item["height"])
        else:
            raise NotCovered(f"a way of resizing unknown here: {item.get('function')}")
    return results


def resized(case: Case, networks: Networks) -> Results:
    given = case.parameters
    (source,), (target,) = case.files(INPUT), case.files(EXPECTED)
    return {target: resize(case.picture(source), given["width"], given["height"], ResizeMode(given["mode"]))}


def channels(case: Case, networks: Networks) -> Results:
    """Pairs of files `x.png`, `x_hwc3.png`."""
    return {_with_hwc3(name): three_channels(case.picture(name)) for name in case.files(INPUT)}


def _with_hwc3(name: str) -> str:
    return name.replace(".png", "_hwc3.png")


def grid(case: Case, networks: Networks) -> Results:
    pictures = [case.picture(name) for name in sorted(case.files(INPUT))]
    return {"grid.png": image_grid(pictures)}


def bytes_of_floats(case: Case, networks: Networks) -> Results:
    pixels = case.tensors["pixels"].numpy()
    return {"uint8": to_uint8(pixels.reshape(np.shape(case.tensors["uint8"])))}


def preprocessed(case: Case, networks: Networks) -> Results:
    """Files `pyra_canny_LOW_HIGH.png` and `cpds.png`."""
    (source,) = case.files(INPUT)
    picture = case.picture(source)
    return {name: _preprocessed(picture, name.removesuffix(".png")) for name in case.files(EXPECTED)}


def _preprocessed(picture: np.ndarray, name: str) -> np.ndarray:
    if name == CPDS:
        return cpds(picture)
    low, high = name.removeprefix(PYRA_CANNY).split("_")
    return pyra_canny(picture, int(low), int(high))


def _is_preprocessed(case: Case) -> bool:
    names = case.files(EXPECTED)
    return bool(names) and all(name == f"{CPDS}.png" or name.startswith(PYRA_CANNY) for name in names)


def _is_channels(case: Case) -> bool:
    inputs = case.files(INPUT)
    return bool(inputs) and set(case.files(EXPECTED)) == {_with_hwc3(name) for name in inputs}


KINDS = (
    Kind(lambda case: has_rows_of(case, "height", "width", "shape_ceil", "target"), size_classes),
    Kind(lambda case: has_rows_of(case, "height", "width", "method", "image_hw"), uov_sizes),
    Kind(lambda case: "items" in case.parameters and bool(case.files(EXPECTED)), resized_items),
    Kind(lambda case: case.parameters.keys() >= {"width", "height", "mode"} and len(case.files(INPUT)) == 1, resized),
    Kind(_is_channels, channels),
    Kind(_is_preprocessed, preprocessed),
    Kind(lambda case: case.has("expected", "grid.png"), grid),
    Kind(lambda case: case.has("input", "pixels") and case.has("expected", "uint8"), bytes_of_floats),
)
