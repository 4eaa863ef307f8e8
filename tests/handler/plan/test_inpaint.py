"""Inpainting in the plan: modes and overrides, mask rules, outpainting's room, the part worked on, the files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from handler.plan.images import INPAINT_IMAGE, MASK_IMAGE, Images
from handler.plan.plan import Box, InpaintPlan, Plan
from schemas.errors import InvalidInput, ModelMissing
from tests.support.requests import HEAD, PATCH, mask_with, picture, plan_of

HOLE = (slice(100, 150), slice(180, 260))
DETAIL = "Improve Detail (face, hand, eyes, etc.)"
MODIFY = "Modify Content (add objects, change background, etc.)"


def images(height: int = 300, width: int = 400) -> dict[tuple, np.ndarray]:
    return {INPAINT_IMAGE: picture(height, width), MASK_IMAGE: mask_with(height, width, *HOLE)}


def planned(given: Images | None = None, **body: Any) -> Plan:
    body = {"endpoint": "inpaint", "inpaint_image_url": "x", "mask_image_url": "x"} | body
    return plan_of(images() if given is None else given, **body)


def inpaint(given: Images | None = None, **body: Any) -> InpaintPlan:
    (plan,) = planned(given, **body).inpaint
    return plan


def refused(given: Images | None = None, **body: Any) -> tuple[tuple, str]:
    with pytest.raises(InvalidInput) as raised:
        planned(given, **body)
    (detail,) = raised.value.details
    return tuple(detail["loc"]), detail["msg"]


@pytest.mark.parametrize(
    ("mode", "denoise", "box", "from_fill", "files"),
    [
        ("Inpaint or Outpaint (default)", 1.0, Box(1, 248, 95, 344), True, 1),
        (DETAIL, 0.5, Box(80, 169, 175, 264), True, 0),
        (MODIFY, 1.0, Box(80, 169, 175, 264), False, 1),
    ],
)
def test_modes(mode: str, denoise: float, box: Box, from_fill: bool, files: int) -> None:
    plan = planned(inpaint_mode=mode)
    (made,) = plan.inpaint
    assert plan.sampling.denoise == denoise
    assert (made.box, made.from_fill, len(made.network)) == (box, from_fill, files)
    assert made.filled == (denoise == 1.0)


def test_options_count_only_where_they_override_but_for_the_mask_s_inversion() -> None:
    options = {
        "inpaint_engine": "None", "inpaint_strength": 0.25, "inpaint_respective_field": 1,
        "inpaint_disable_initial_latent": True, "inpaint_erode_or_dilate": 2,
    }  # fmt: skip
    plan = planned(**options)
    assert plan.sampling.denoise == 1.0
    assert plan.inpaint[0].network
    plan = planned(**options, override_inpaint_options=True)
    (made,) = plan.inpaint
    assert plan.sampling.denoise == 0.25
    assert (made.box, made.from_fill, made.filled, made.network) == (Box(0, 300, 0, 400), False, False, ())
    assert (made.mask > 0).sum() == 54 * 84
    inverted = inpaint(invert_mask=True).mask
    assert inverted[0, 0] == 255
    assert inverted[120, 200] == 0


def test_the_base_endpoint_inpaints_as_the_default_mode() -> None:
    assert inpaint(endpoint="").box == Box(1, 248, 95, 344)


def test_a_mask_marks_where_it_is_bright_and_opaque() -> None:
    given = images()
    given[MASK_IMAGE] = np.dstack([np.full((300, 400, 3), 128, np.uint8), np.zeros((300, 400), np.uint8)])
    given[MASK_IMAGE][HOLE[0], HOLE[1], 3] = 255
    assert np.array_equal(inpaint(given).mask, mask_with(300, 400, *HOLE)[:, :, 0])
    given[MASK_IMAGE] = np.full((300, 400, 3), 127, np.uint8)
    assert refused(given)[0] == MASK_IMAGE


def test_the_part_is_of_a_megapixel_in_whole_latents() -> None:
    plan = planned()
    assert (plan.width, plan.height) == (992, 984)
    assert plan.inpaint[0].upscaled
    large = planned({INPAINT_IMAGE: picture(1501, 1203), MASK_IMAGE: mask_with(1501, 1203, *HOLE)},
                    override_inpaint_options=True, inpaint_respective_field=1)  # fmt: skip
    assert not large.inpaint[0].upscaled
    assert (large.height, large.width) == (1152, 896)
    odd = {INPAINT_IMAGE: picture(1001, 1003), MASK_IMAGE: mask_with(1001, 1003, *HOLE)}
    made = planned(odd, override_inpaint_options=True, inpaint_respective_field=1)
    assert (made.height, made.width) == (1000, 1000)


@pytest.mark.parametrize(
    ("body", "size", "place"),
    [
        ({"outpaint_selections": ["Left"]}, (800, 1300), (0, 300)),
        ({"outpaint_selections": ["Right", "Top"]}, (1040, 1300), (240, 0)),
        ({"outpaint_selections": ["Left", "Right", "Top", "Bottom"]}, (1280, 1600), (240, 300)),
        ({"advanced": {"outpaint_distances": {"left": 10, "bottom": 7}}}, (807, 1010), (0, 10)),
        ({"outpaint_selections": ["Top"], "advanced": {"outpaint_distances": {"top": 5}}}, (805, 1000), (5, 0)),
    ],
)
def test_outpainting_makes_room_and_works_on_everything(body: dict, size: tuple, place: tuple) -> None:
    own = picture(800, 1000)
    options = {"override_inpaint_options": True, "inpaint_strength": 0.5, "inpaint_respective_field": 0}
    plan = planned({INPAINT_IMAGE: own}, **{"mask_image_url": None} | options | body)
    (made,) = plan.inpaint
    assert made.image.shape[:2] == made.mask.shape == size
    assert (made.box, plan.sampling.denoise) == (Box(0, size[0], 0, size[1]), 1.0)
    kept = slice(place[0], place[0] + 800), slice(place[1], place[1] + 1000)
    assert np.array_equal(made.image[kept], own)
    assert not made.mask[kept].any()
    assert (made.mask == 255).sum() == size[0] * size[1] - 800_000


def test_the_network_helps_for_four_fifths_of_the_steps_unless_a_refiner_takes_over() -> None:
    (network,) = inpaint().network
    assert (network.head, network.patch, network.switch, network.method) == (HEAD, PATCH, 24, "joint")
    assert planned().refiner_switch == 0.8
    assert inpaint(advanced={"overwrite_switch": 7}).network[0].switch == 7
    assert inpaint(performance="Extreme Speed").network[0].switch == 6
    refined = planned(advanced={"refiner_model": "r.safetensors"}, refiner_switch=0.5)
    assert refined.inpaint[0].network[0].switch == 30
    assert (refined.refiner[0].switch, refined.refiner_switch) == (15, 0.5)
    assert planned(inpaint_mode=DETAIL, refiner_switch=0.5).refiner_switch == 0.5


def test_what_is_said_of_the_place_comes_before_the_prompt() -> None:
    image = planned(prompt="a house\nby night", inpaint_additional_prompt="a blue door", inpaint_mode=MODIFY).images[0]
    assert image.positive == ("a blue door", "a house", "by night")


def test_missing_files_are_told_to_the_operator() -> None:
    def missing(engine: str, loc: tuple) -> tuple:
        raise ModelMissing(f"{engine} {loc}")

    with pytest.raises(ModelMissing, match=r"v2\.6"):
        plan_of(images(), missing, endpoint="inpaint", inpaint_image_url="x", mask_image_url="x")


@pytest.mark.parametrize("size", [(300, 401), (150, 200), (400, 300)])
def test_a_mask_has_the_size_of_the_picture(size: tuple[int, int]) -> None:
    loc, message = refused(images() | {MASK_IMAGE: mask_with(*size, *HOLE)})
    assert loc == MASK_IMAGE
    assert "400x300" in message
    assert f"{size[1]}x{size[0]}" in message


def test_a_mask_of_which_nothing_is_left_is_refused() -> None:
    given = images() | {MASK_IMAGE: np.zeros((300, 400, 3), np.uint8)}
    assert refused(given)[0] == MASK_IMAGE
    shrunk = {"override_inpaint_options": True, "inpaint_erode_or_dilate": -30}
    assert refused(**shrunk)[0] == MASK_IMAGE


@pytest.mark.parametrize("size", [(16, 100), (100, 1), (40, 1000), (2000, 100)])
def test_pictures_of_an_impossible_shape_are_refused(size: tuple[int, int]) -> None:
    given = {INPAINT_IMAGE: picture(*size), MASK_IMAGE: mask_with(*size, slice(None), slice(None))}
    assert refused(given)[0] == INPAINT_IMAGE


def test_room_that_is_too_large_is_refused() -> None:
    given = {INPAINT_IMAGE: picture(4000, 4000)}
    loc, message = refused(given, mask_image_url=None, outpaint_selections=["Left"])
    assert loc == INPAINT_IMAGE
    assert "5200x4000" in message
