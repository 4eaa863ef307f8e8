"""Checkpoints load from one LDM file and from a diffusers folder to the same networks; anything else is refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from handler.engine import device
from handler.engine.checkpoint import SdxlModel, load
from schemas.errors import ModelLoadError, ModelMissing, OutOfMemory
from tests.support.golden import load_weights
from tests.support.models import CPU, DEMO_CHECKPOINT
from tests.support.networks import CHECKPOINT, WEIGHTS, tiny_unet

UNET = "model.diffusion_model."
CLIP_G = "conditioner.embedders.1.model."


def save_folder(model: SdxlModel, models: Path, folder: Path) -> Path:
    """The model as diffusers writes it; the text encoders under the names of transformers 4."""
    for name, network in model.networks.items():
        target = folder / name
        target.mkdir(parents=True)
        shutil.copy(WEIGHTS / "diffusers" / name / "config.json", target)
        text = name.startswith("text_encoder")
        state = {("" if not text or key.startswith("text_") else "text_model.") + key: value
                 for key, value in network.state_dict().items()}  # fmt: skip
        save_file(state, target / ("model.safetensors" if text else "diffusion_pytorch_model.safetensors"))
    for name in ("tokenizer", "tokenizer_2"):
        shutil.copytree(models / "clip" / "tokenizer", folder / name)
    return folder


@pytest.fixture(scope="module")
def folder(tiny: SdxlModel, tiny_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tiny, tiny_models, tmp_path_factory.mktemp("folder") / "tiny")


def same(one: SdxlModel, other: SdxlModel) -> bool:
    return all(
        torch.equal(value, other.networks[name].state_dict()[key])
        for name, network in one.networks.items()
        for key, value in network.state_dict().items()
    )


def test_one_file_gives_the_networks_of_the_golden_set(tiny: SdxlModel) -> None:
    theirs = tiny_unet().state_dict()
    assert tiny.unet.state_dict().keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in tiny.unet.state_dict().items())


def test_clip_g_is_the_network_transformers_makes_of_the_same_numbers(tiny: SdxlModel) -> None:
    stored = load_weights(CHECKPOINT)
    block = CLIP_G + "transformer.resblocks.2."
    layer = tiny.text_encoder_2.text_model.encoder.layers[2]
    stacked = [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj]
    assert torch.equal(torch.cat([part.weight for part in stacked]), stored[block + "attn.in_proj_weight"])
    assert torch.equal(torch.cat([part.bias for part in stacked]), stored[block + "attn.in_proj_bias"])
    assert torch.equal(tiny.text_encoder_2.text_projection.weight.T, stored[CLIP_G + "text_projection"])
    config = json.loads((WEIGHTS / "diffusers" / "text_encoder_2" / "config.json").read_text())
    other = CLIPTextModelWithProjection(CLIPTextConfig(**config)).eval()
    other.float().load_state_dict(tiny.text_encoder_2.state_dict())
    ids = torch.tensor([[49406, *range(300, 375), 49407]])
    with torch.no_grad():
        assert torch.equal(other(ids).text_embeds, tiny.text_encoder_2(ids).text_embeds)


def test_a_folder_gives_the_same_as_one_file(tiny: SdxlModel, folder: Path) -> None:
    model = load(folder, CPU, torch.float32)
    assert same(tiny, model)
    assert model.name == "tiny"


def test_a_folder_in_shards_and_of_the_fp16_variant(tiny: SdxlModel, folder: Path, tmp_path: Path) -> None:
    target = Path(shutil.copytree(folder, tmp_path / "sharded"))
    whole = target / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(whole)
    whole.unlink()
    names = sorted(state)
    homes = {name: f"shard{index % 2}.safetensors" for index, name in enumerate(names)}
    for file in ("shard0.safetensors", "shard1.safetensors"):
        save_file({name: state[name] for name in names if homes[name] == file}, target / "unet" / file)
    index = target / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": homes}))
    vae = target / "vae" / "diffusion_pytorch_model.safetensors"
    vae.rename(vae.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert same(tiny, load(target, CPU, torch.float32))


@pytest.mark.parametrize("weight_map", [{"a": "../../etc/passwd"}, {"a": 3}, None, []])
def test_an_index_that_names_no_plain_files_is_refused(folder: Path, tmp_path: Path, weight_map: object) -> None:
    target = Path(shutil.copytree(folder, tmp_path / "sharded"))
    whole = target / "unet" / "diffusion_pytorch_model.safetensors"
    whole.unlink()
    whole.with_name(whole.name + ".index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ModelLoadError):
        load(target, CPU, torch.float32)


def test_types_per_network(tiny_models: Path) -> None:
    model = load(tiny_models / "checkpoints" / CHECKPOINT.name, CPU, torch.bfloat16, tiny_models / "configs")
    types = {name: {p.dtype for p in network.parameters()} for name, network in model.networks.items()}
    assert types == {
        "unet": {torch.bfloat16},
        "vae": {torch.float32},
        "text_encoder": {torch.float32},
        "text_encoder_2": {torch.float32},
    }


def test_networks_are_for_inference(tiny: SdxlModel) -> None:
    for network in tiny.networks.values():
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        assert not any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))


def test_the_two_encoders_pad_differently(tiny: SdxlModel) -> None:
    ids = [(t.bos_token_id, t.eos_token_id, t.pad_token_id) for t in (tiny.tokenizer, tiny.tokenizer_2)]
    assert ids == [(49406, 49407, 49407), (49406, 49407, 0)]


def test_the_demo_model_loads() -> None:
    model = load(DEMO_CHECKPOINT, CPU, torch.float32)
    assert model.tokenizer_2.pad_token == "!"
    assert model.vae.config.scaling_factor == 0.13025


def edited(change: Callable[[dict[str, Tensor]], None], models: Path, name: str = "edited") -> Path:
    """A copy of the tiny checkpoint with its tensors changed, configured like the original."""
    state = load_file(CHECKPOINT)
    change(state)
    path = models / "checkpoints" / f"{name}.safetensors"
    save_file(state, path)
    shutil.copytree(WEIGHTS / "diffusers", models / "configs" / name)
    return path


@pytest.fixture
def models(tiny_models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models, tmp_path / "models", symlinks=True))


def refusal(path: Path, models: Path) -> str:
    with pytest.raises(ModelLoadError) as caught:
        load(path, CPU, torch.float32, models / "configs", loc=("body", "model"))
    assert caught.value.details[0]["loc"] == ["body", "model"]
    message = caught.value.details[0]["msg"]
    assert str(models) not in message
    return message


CHANGES: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "missing": (lambda state: state.pop(UNET + "out.2.weight"), r"no tensor 'model.diffusion_model.out.2.weight'"),
    "shape": (lambda state: state.update({UNET + "out.2.weight": torch.zeros(4, 16, 3, 3)}), r"\[4, 16, 3, 3\] where"),
    "integers": (lambda state: state.update({UNET + "out.2.bias": torch.zeros(4, dtype=torch.int32)}), "floating"),
    "stranger": (lambda state: state.update({UNET + "out.3.bias": torch.zeros(4)}), "no SDXL network has"),
    "stack": (lambda state: state.update({CLIP_G + "transformer.resblocks.0.attn.in_proj_bias": torch.zeros(47)}),
              r"\[47\] where"),
    "lora": (lambda state: state.update({"lora_unet_a.alpha": torch.zeros(1)}), "is a LoRA"),
    "sd15": (lambda state: state.update({"cond_stage_model.transformer.a": torch.zeros(1)}), "only SDXL is supported"),
    "refiner": (lambda state: state.update({"conditioner.embedders.0.model.a": torch.zeros(1)}), "SDXL refiner"),
    "no unet": (lambda state: _drop(state, UNET), "not an SDXL checkpoint"),
    "no text": (lambda state: _drop(state, "conditioner."), "no SDXL text encoders"),
    "no vae": (lambda state: _drop(state, "first_stage_model."), "no VAE"),
}  # fmt: skip


def _drop(state: dict[str, Tensor], prefix: str) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        del state[name]


@pytest.mark.parametrize("case", CHANGES)
def test_files_that_are_no_sdxl_base_model(case: str, models: Path) -> None:
    change, words = CHANGES[case]
    message = refusal(edited(change, models), models)
    assert re.search(words, message), message


def test_extra_tensors_of_real_files_are_passed_over(models: Path) -> None:
    def extras(state: dict[str, Tensor]) -> None:
        prefix = "conditioner.embedders.0.transformer.text_model.embeddings."
        state[prefix + "position_ids"] = torch.arange(77)[None]
        state["denoiser.sigmas"] = torch.zeros(1000)

    load(edited(extras, models), CPU, torch.float32, models / "configs")


def test_a_truncated_file_is_refused(models: Path) -> None:
    path = models / "checkpoints" / "cut.safetensors"
    path.write_bytes(CHECKPOINT.read_bytes()[:-1000])
    shutil.copytree(WEIGHTS / "diffusers", models / "configs" / "cut")
    assert "cut off" in refusal(path, models)


def test_without_a_configuration_the_file_must_have_sdxls_own_layout(models: Path) -> None:
    shutil.rmtree(models / "configs" / CHECKPOINT.stem)
    assert "where this network needs" in refusal(models / "checkpoints" / CHECKPOINT.name, models)


@pytest.mark.parametrize(
    ("network", "change"),
    [
        ("unet", {"addition_embed_type": None}),
        ("unet", {"cross_attention_dim": 768}),
        ("unet", {"projection_class_embeddings_input_dim": 2560}),
        ("unet", {"in_channels": 9}),
        ("unet", {"block_out_channels": "wide"}),
        ("text_encoder", {"num_attention_heads": 5}),
    ],
)
def test_a_configuration_of_something_else_is_refused(network: str, change: dict[str, object], models: Path) -> None:
    path = models / "configs" / CHECKPOINT.stem / network / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refusal(models / "checkpoints" / CHECKPOINT.name, models)


@pytest.mark.parametrize("text", ["", "[]", "{", "\udcff"])
def test_a_damaged_configuration_is_refused(text: str, models: Path) -> None:
    path = models / "configs" / CHECKPOINT.stem / "vae" / "config.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert "vae/config.json" in refusal(models / "checkpoints" / CHECKPOINT.name, models)


def test_a_missing_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"x\.safetensors is not installed"):
        load(tmp_path / "x.safetensors", CPU, torch.float32)


def test_a_missing_tokenizer_names_the_command_that_fetches_it(models: Path) -> None:
    (models / "clip" / "tokenizer" / "merges.txt").unlink()
    with pytest.raises(ModelMissing, match=r"python -m builder fetch clip/tokenizer/vocab\.json"):
        load(models / "checkpoints" / CHECKPOINT.name, CPU, torch.float32, models / "configs")


def test_a_tokenizer_of_too_many_tokens_is_refused(models: Path) -> None:
    path = models / "clip" / "tokenizer" / "vocab.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"one</w>": 49408}))
    assert "more tokens" in refusal(models / "checkpoints" / CHECKPOINT.name, models)


def test_memory_is_asked_for_before_it_is_taken() -> None:
    with pytest.raises(OutOfMemory, match=r"needs 1048576\.0 GiB"):
        device.require_memory(CPU, 2**50)
    device.require_memory(CPU, 1)


def test_devices() -> None:
    assert device.choose("auto").type in ("cpu", "cuda")
    assert device.choose("cpu") == CPU
    assert device.unet_dtype(CPU) == device.vae_dtype(CPU) == torch.float32
    for name in ("quantum", "cuda:99"):
        with pytest.raises(ValueError, match=name):
            device.choose(name)
