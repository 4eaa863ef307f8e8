"""LoRA files of every kind merge to the golden weights, leave the model bit for bit as it was, or are refused."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from handler.engine.checkpoint import SdxlModel
from handler.engine.conditioning import TextChunks, encode_chunks
from handler.engine.ldm_keys import UNET_PREFIX, unet_places
from handler.engine.lora import LoraStack, verify
from handler.engine.lora.file import LoraFile, LoraFiles, read
from handler.engine.step import Interrupted
from handler.engine.tokens import Chunk
from handler.plan.plan import LoraPlan
from schemas.errors import ModelLoadError
from tests.support.golden import Case, assert_close, cases, load_case

CASES = cases("lora", lambda case: "text" in case.parameters)
LOC = ("body", "loras", 0, "path")
KOHYA = load_case("lora/kohya_full").folder / "lora_0.safetensors"
LOHA = load_case("lora/loha").folder / "lora_0.safetensors"

BEGIN, END = 49406, 49407
TEXT = {320: 1.0, 2441: 1.0, 2465: 1.0, 267: 1.0, 16045: 1.2}
"""CLIP's tokens for the cases' text, `a stone bridge, (ivy:1.2)`, and their weights."""


def digest(model: SdxlModel) -> dict[str, str]:
    """A hash over every parameter and buffer of each network."""
    return {
        name: hashlib.sha256(
            b"".join(tensor.numpy().tobytes() for tensor in (*network.parameters(), *network.buffers()))
        ).hexdigest()
        for name, network in model.networks.items()
    }


def places(model: SdxlModel) -> dict[str, int]:
    """Where every parameter's numbers lie in memory."""
    return {
        f"{name}.{key}": parameter.data_ptr()
        for name, network in model.networks.items()
        for key, parameter in network.named_parameters()
    }


@pytest.fixture(autouse=True)
def unchanged(tiny: SdxlModel) -> Iterator[None]:
    """After every test of this file the model is the one it was: the same numbers at the same place."""
    before, lying = digest(tiny), places(tiny)
    yield
    assert digest(tiny) == before
    assert places(tiny) == lying
    assert tiny.variant == ()


def plans(case: Case) -> list[LoraPlan]:
    return [LoraPlan(case.folder / lora["file"], lora["weight"], LOC) for lora in case.parameters.get("loras", [])]


def one(path: Path, scale: float = 1.0) -> list[LoraPlan]:
    return [LoraPlan(path, scale, LOC)]


def eps(model: SdxlModel, case: Case) -> Tensor:
    given = case.tensors
    added = {"text_embeds": given["pooled"], "time_ids": given["time_ids"]}
    return model.unet(given["x"], given["timestep"], given["context"], added_cond_kwargs=added).sample


def merged(model: SdxlModel, name: str) -> Tensor:
    """The weight a golden tensor's name stands for, whole or every 97th value."""
    network, _, key = name.removesuffix(".every_97th").partition(".")
    if network == "unet":
        names = {place.name: ours for ours, place in unet_places(model.unet.config, model.unet.state_dict()).items()}
        weight = model.unet.get_parameter(names[UNET_PREFIX + key])
    else:
        encoder, _, key = key.partition(".transformer.text_model.")
        text = model.text_encoder if encoder == "clip_l" else model.text_encoder_2.text_model
        weight = text.get_parameter(key)
    return weight.flatten()[::97] if name.endswith(".every_97th") else weight


def text(padding: int) -> Chunk:
    rest = 77 - 2 - len(TEXT)
    return Chunk((BEGIN, *TEXT, END, *[padding] * rest), (1.0, *TEXT.values(), 1.0, *[1.0] * rest))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_golden(case: Case, tiny: SdxlModel) -> None:
    with LoraStack(tiny).applied(plans(case)), torch.no_grad():
        assert_close(case, "eps", eps(tiny, case))
        (encoding,) = encode_chunks(tiny, [TextChunks([text(END)], [text(0)])], 2, _no_vector)
        assert_close(case, "text_cond", encoding.cond)
        assert_close(case, "text_pooled", encoding.pooled)
        for name in case.names("expected"):
            if name.startswith(("unet.", "clip.")):
                assert_close(case, name, merged(tiny, name))


def _no_vector(key: str, token: object) -> Tensor:
    raise AssertionError(f"the text has no embedding {key} {token}")


def test_all_cases_are_here() -> None:
    assert len(CASES) == 11


def edited(source: Path, target: Path, **more: Tensor) -> Path:
    save_file(load_file(source) | more, target)
    return target


@pytest.mark.parametrize("row", load_case("lora/unmatched_keys").expected_json, ids=str)
def test_a_file_of_which_too_much_fits_nothing_is_not_used_at_all(
    row: dict[str, int], tiny: SdxlModel, tmp_path: Path
) -> None:
    names = ("input_blocks_4_1_transformer_blocks_0_attn1_to_q", "input_blocks_7_0_emb_layers_1", "time_embed_0")
    known = {name: value for name, value in load_file(KOHYA).items() if any(part in name for part in names)}
    strangers = {f"lora_unet_nowhere_{index}.alpha": torch.ones(()) for index in range(row["unmatched_keys"])}
    save_file(known | strangers, tmp_path / "x.safetensors")
    stack = LoraStack(tiny)
    match = stack.match(read(tmp_path / "x.safetensors"))
    assert match.unmatched == row["unmatched_keys"]
    assert (len(match.adapters) if match.usable else 0) == row["unet_keys_patched"]
    if not match.usable:
        with pytest.raises(ModelLoadError, match="13 of its tensors"), stack.applied(one(tmp_path / "x.safetensors")):
            pass


NAMES = {
    "diffusers with dots": ("unet.{layer}.lora.down.weight", "unet.{layer}.lora.up.weight"),
    "PEFT": ("base_model.model.{layer}.lora_A.weight", "base_model.model.{layer}.lora_B.weight"),
    "PEFT in diffusers": ("unet.{layer}.lora_A.weight", "unet.{layer}.lora_B.weight"),
    "LyCORIS": ("lycoris_{flat}.lora_down.weight", "lycoris_{flat}.lora_up.weight"),
    "kohya": ("lora_unet_{flat}.lora_down.weight", "lora_unet_{flat}.lora_up.weight"),
}


@pytest.mark.parametrize("form", NAMES)
def test_names_of_one_layer(form: str, tiny: SdxlModel, tmp_path: Path) -> None:
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"
    weight = tiny.unet.get_parameter(f"{layer}.weight")
    down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    before = weight.clone()
    names = [name.format(layer=layer, flat=layer.replace(".", "_")) for name in NAMES[form]]
    save_file(dict(zip(names, (down, up), strict=True)), tmp_path / "x.safetensors")
    with LoraStack(tiny).applied(one(tmp_path / "x.safetensors", 0.5)):
        torch.testing.assert_close(tiny.unet.get_parameter(f"{layer}.weight"), before + 0.5 * up @ down)


@pytest.mark.parametrize("prefix", ["text_encoder", "text_encoder_2"])
@pytest.mark.parametrize(
    "roles", [(".lora_A.weight", ".lora_B.weight"), (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight")]
)
def test_names_of_the_text_encoders(prefix: str, roles: tuple[str, str], tiny: SdxlModel, tmp_path: Path) -> None:
    layer = f"{prefix}.text_model.encoder.layers.1.self_attn.q_proj"
    save_file({layer + roles[0]: torch.ones(1, 16), layer + roles[1]: torch.ones(16, 1)}, tmp_path / "x.safetensors")
    match = LoraStack(tiny).match(read(tmp_path / "x.safetensors"))
    assert [network for network, _ in match.adapters] == [prefix]
    assert match.unmatched == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_narrow_types_are_widened(dtype: torch.dtype, tiny: SdxlModel, tmp_path: Path) -> None:
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    weight = tiny.unet.get_parameter(f"{layer}.weight")
    before = weight.clone()
    flat = f"lora_unet_{layer.replace('.', '_')}"
    parts = {f"{flat}.lora_down.weight": torch.ones(2, 128), f"{flat}.lora_up.weight": torch.ones(128, 2)}
    save_file({name: value.to(dtype) for name, value in parts.items()}, tmp_path / "x.safetensors")
    with LoraStack(tiny).applied(one(tmp_path / "x.safetensors", 0.5)):
        torch.testing.assert_close(tiny.unet.get_parameter(f"{layer}.weight").data, before + 1.0)


def test_norm_layers_and_biases_take_differences(tiny: SdxlModel, tmp_path: Path) -> None:
    norm = tiny.unet.mid_block.resnets[0].norm1
    before = norm.weight.clone(), norm.bias.clone()
    change = {"w_norm": torch.randn_like(norm.weight), "b_norm": torch.randn_like(norm.bias)}
    name = "lora_unet_mid_block_resnets_0_norm1."
    save_file({name + role: value for role, value in change.items()}, tmp_path / "x.safetensors")
    with LoraStack(tiny).applied(one(tmp_path / "x.safetensors", 2.0)):
        torch.testing.assert_close(norm.weight.data, before[0] + 2 * change["w_norm"])
        torch.testing.assert_close(norm.bias.data, before[1] + 2 * change["b_norm"])


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, Interrupted])
def test_the_model_is_restored_after_any_failure(failure: type[BaseException], tiny: SdxlModel) -> None:
    with pytest.raises(failure), LoraStack(tiny).applied(one(KOHYA)):
        raise failure


def test_two_sets_in_turn_leave_no_trace(tiny: SdxlModel) -> None:
    stack, case = LoraStack(tiny), CASES[0]
    results = []
    with torch.no_grad():
        for path in (KOHYA, LOHA, KOHYA):
            with stack.applied(one(path)):
                results.append(eps(tiny, case))
            assert torch.equal(eps(tiny, case), eps(tiny, case))
    assert torch.equal(results[0], results[2])
    assert not torch.allclose(results[0], results[1])


def test_it_works_inside_inference_mode_and_the_result_outside(tiny: SdxlModel) -> None:
    stack, case = LoraStack(tiny), CASES[0]
    with torch.inference_mode(), stack.applied(one(KOHYA)):
        inside = eps(tiny, case).clone()
    with torch.no_grad(), stack.applied(one(KOHYA)):
        assert torch.equal(eps(tiny, case), inside)
    assert not any(parameter.is_inference() for parameter in tiny.unet.parameters())


def test_the_last_set_is_not_merged_again(tiny: SdxlModel) -> None:
    stack = LoraStack(tiny)
    key = "mid_block.resnets.0.conv2.weight"
    seen = []
    for loras in (one(KOHYA), [], one(KOHYA), one(KOHYA, 0.5), one(KOHYA, 0.5)):
        with stack.applied(loras):
            seen.append(tiny.unet.get_parameter(key).data_ptr())
    first, base, again, other, other_again = seen
    assert first == again != base
    assert other == other_again
    stack.forget()
    with stack.applied(one(KOHYA)):
        pass


def test_the_variant_names_the_set(tiny: SdxlModel) -> None:
    stack = LoraStack(tiny)
    variants = []
    for loras in ([], one(KOHYA), one(KOHYA, 0.5), one(LOHA), [*one(KOHYA), *one(LOHA)]):
        with stack.applied(loras):
            variants.append(tiny.variant)
    assert variants[0] == ()
    assert len(set(variants)) == 5


def test_order_does_not_matter_to_plain_loras_and_twice_is_double(tiny: SdxlModel) -> None:
    stack = LoraStack(tiny)
    weight = tiny.unet.get_parameter("mid_block.resnets.0.conv2.weight")
    values = []
    for loras in ([*one(KOHYA), *one(KOHYA)], one(KOHYA, 2.0)):
        with stack.applied(loras):
            values.append(weight.data.clone())
    torch.testing.assert_close(*values)


def test_loras_go_under_every_other_patch(tiny: SdxlModel) -> None:
    stack = LoraStack(tiny)
    with stack.applied(one(KOHYA)), pytest.raises(RuntimeError, match="bug"), stack.applied(one(LOHA)):
        pass


def bad(name: str, folder: Path) -> Path:
    path = folder / "bad.safetensors"
    layer = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    up, down = f"{layer}.lora_up.weight", f"{layer}.lora_down.weight"
    made = {
        "another model": {up: torch.ones(320, 4), down: torch.ones(4, 320)},
        "ranks differ": {up: torch.ones(128, 4), down: torch.ones(5, 128)},
        "flat": {up: torch.ones(128), down: torch.ones(128)},
        "nan": {up: torch.full((128, 4), torch.nan), down: torch.ones(4, 128)},
        "infinite": {up: torch.full((128, 4), torch.inf), down: torch.ones(4, 128)},
        "no pair": {up: torch.ones(128, 4)},
        "long alpha": {up: torch.ones(128, 4), down: torch.ones(4, 128), f"{layer}.alpha": torch.ones(2)},
        "alpha alone": {f"{layer}.alpha": torch.ones(())},
        "checkpoint": {"model.diffusion_model.out.2.bias": torch.ones(4)},
        "core of other rank": {
            f"{layer}.hada_w1_a": torch.ones(4, 128), f"{layer}.hada_w1_b": torch.ones(4, 128),
            f"{layer}.hada_w2_a": torch.ones(4, 128), f"{layer}.hada_w2_b": torch.ones(4, 128),
            f"{layer}.hada_t1": torch.ones(4, 4, 1, 1), f"{layer}.hada_t2": torch.ones(3, 3, 1, 1),
        },
    }  # fmt: skip
    if name in made:
        save_file(made[name], path)
    elif name == "garbage":
        path.write_bytes(struct.pack("<Q", 2**40) + b"x" * 100)
    return path


@pytest.mark.parametrize(
    "name",
    ["another model", "ranks differ", "flat", "nan", "infinite", "no pair", "long alpha", "alpha alone", "checkpoint",
     "core of other rank", "garbage", "absent"],
)  # fmt: skip
def test_unusable_files_are_refused_at_their_field(name: str, tiny: SdxlModel, tmp_path: Path) -> None:
    path = bad(name, tmp_path)
    loc = ("body", "loras", 1, "path")
    with (
        pytest.raises(ModelLoadError) as caught,
        LoraStack(tiny).applied([*one(KOHYA), LoraPlan(path, 1.0, loc)]),
    ):
        pass
    (detail,) = caught.value.details
    assert detail["loc"] == list(loc)
    assert str(tmp_path) not in detail["msg"]


@pytest.mark.parametrize("name", ["alpha alone", "checkpoint", "garbage", "absent"])
def test_a_file_is_verified_without_a_model(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError):
        verify(bad(name, tmp_path), LOC)
    verify(KOHYA, LOC)


def test_parsed_files_are_remembered_within_bounds(tmp_path: Path) -> None:
    paths = [edited(KOHYA, tmp_path / f"{index}.safetensors") for index in range(3)]
    files = LoraFiles(memory=2 * read(KOHYA).bytes)
    first = files.get(paths[0])
    assert files.get(paths[0]) is first
    files.get(paths[1])
    files.get(paths[0])
    files.get(paths[2])
    assert files.get(paths[0]) is first
    edited(KOHYA, paths[0], **{"lora_unet_more.alpha": torch.ones(())})
    assert files.get(paths[0]) is not first
    assert isinstance(LoraFiles(memory=0).get(paths[0]), LoraFile)
