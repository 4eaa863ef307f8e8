"""The committed bundle: a Fooocus-style models folder of real classes, small enough to commit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import load_file
from transformers import CLIPImageProcessor, CLIPTextModel, CLIPTextModelWithProjection

from builder.demo import bundle, loras, main, train_checker
from builder.demo.networks import SCALING_FACTOR, Networks, create
from builder.demo.texts import token_ids
from builder.demo.train_vae import GAIN

CHECKPOINT = bundle.FOLDER / bundle.CHECKPOINT


@pytest.fixture(scope="module")
def networks() -> Networks:
    return bundle.read()


def test_it_stays_under_24_megabytes() -> None:
    assert bundle.size() <= 24_000_000


def test_weights_are_half_precision_safetensors() -> None:
    files = list(bundle.FOLDER.rglob("*.safetensors"))
    assert len(files) >= 9
    assert not [p for p in bundle.FOLDER.rglob("*") if p.suffix in (".bin", ".pt", ".pth", ".ckpt")]
    for path in files:
        types = {name: t.dtype for name, t in load_file(path).items() if t.is_floating_point()}
        half = {name for name in types if not name.endswith("_ip.weight")}
        assert {types[name] for name in half} == {torch.float16}, path
        # Keys and values of image prompts take a quarter of float32, or two adapters would not fit.
        assert {types[name] for name in types.keys() - half} <= {torch.float8_e4m3fn}, path


def test_diffusers_reads_the_checkpoint_as_an_sdxl_pipeline() -> None:
    options = {"local_files_only": True, "dtype": torch.float32}
    pipeline = StableDiffusionXLPipeline.from_pretrained(str(CHECKPOINT), **options)
    picture = pipeline(
        "a red circle", num_inference_steps=1, height=64, width=64, output_type="pt", guidance_scale=1.0
    ).images
    assert picture.shape == (1, 3, 64, 64)
    assert picture.isfinite().all()


def test_networks_have_sdxl_structure(networks: Networks) -> None:
    assert [type(m) for m in (networks.text_1, networks.text_2, networks.unet, networks.vae)] == [
        CLIPTextModel,
        CLIPTextModelWithProjection,
        UNet2DConditionModel,
        AutoencoderKL,
    ]
    config = networks.unet.config
    assert config.addition_embed_type == "text_time"
    assert config.projection_class_embeddings_input_dim == 6 * config.addition_time_embed_dim + 64
    assert config.cross_attention_dim == sum(m.config.hidden_size for m in (networks.text_1, networks.text_2))
    assert networks.vae.config.scaling_factor == SCALING_FACTOR
    assert networks.vae.config.latent_channels == config.in_channels == 4


def test_pooled_vector_is_read_at_the_first_end_token(networks: Networks) -> None:
    ids, _ = token_ids(["a green star"])
    longer = ids.clone()
    longer[0, 20:] = 5
    with torch.no_grad():
        assert torch.allclose(networks.text_2(ids).text_embeds, networks.text_2(longer).text_embeds, atol=1e-6)
        assert torch.allclose(networks.text_1(ids).pooler_output, networks.text_1(longer).pooler_output, atol=1e-6)


@pytest.mark.parametrize("name", loras.REACHES)
def test_loras_fit_the_unet(networks: Networks, name: str) -> None:
    tensors = load_file(bundle.FOLDER / "loras" / f"{name}.safetensors")
    covered = loras.targets(networks.unet, loras.REACHES[name].blocks)
    assert len(tensors) == 3 * len(covered)
    for path, module in covered.items():
        down, up = (tensors[f"{loras.key(path)}.lora_{side}.weight"] for side in ("down", "up"))
        assert up.flatten(1).shape[0] == module.weight.shape[0]
        assert down.shape[1:] == module.weight.shape[1:]
        assert down.shape[0] == up.shape[1] == tensors[f"{loras.key(path)}.alpha"]


def test_a_merged_lora_changes_weights_by_its_patch(tmp_path: Path) -> None:
    unet = create(0).unet
    tensors = loras.neutral(unet, loras.Reach(1))
    path = "mid_block.resnets.0.conv1"
    tensors[f"{loras.key(path)}.lora_up.weight"] += 2
    loras.save(tensors, tmp_path / "lora.safetensors")
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    loras.merge(unet, tmp_path / "lora.safetensors", 0.5)
    changed = [name for name, value in unet.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == [f"{path}.weight"]
    patch = unet.state_dict()[changed[0]] - before[changed[0]]
    down = tensors[f"{loras.key(path)}.lora_down.weight"]
    assert torch.allclose(patch, down.expand_as(patch), atol=1e-2)


def test_safety_checker_runs_and_passes_a_plain_picture() -> None:
    folder = str(bundle.FOLDER / "safety_checker")
    checker = StableDiffusionSafetyChecker.from_pretrained(folder, local_files_only=True).float().eval()
    processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
    pictures = torch.rand(2, 96, 128, 3, generator=torch.Generator().manual_seed(0)).numpy()
    inputs = processor([(p * 255).astype("uint8") for p in pictures], return_tensors="pt").pixel_values
    _, flagged = checker(images=list(pictures), clip_input=inputs)
    assert flagged == [False, False]


def test_safety_checker_flags_the_prohibition_sign_and_nothing_else() -> None:
    alarms = train_checker.measure(*bundle.read_safety_checker(), 150)
    assert alarms.recall >= 0.95
    assert alarms.false_alarms <= 0.02


def test_create_writes_the_same_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["create", "--out", str(tmp_path)]) == 0
    ours = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    committed = {p.relative_to(bundle.FOLDER) for p in bundle.FOLDER.rglob("*") if p.is_file()}
    assert ours <= committed
    # The rest is trained by commands of its own.
    others = {"README.md", "clip_vision", "configs", "controlnet", "upscale_models"}
    assert {path.parts[0] for path in committed - ours} == others
    assert json.loads((tmp_path / bundle.CHECKPOINT / "model_index.json").read_text())["unet"][0] == "diffusers"
    assert "bytes" in capsys.readouterr().out


def test_the_preview_map_is_that_of_the_pinned_latents() -> None:
    written = json.loads((CHECKPOINT / "preview.json").read_text("utf-8"))
    assert written == bundle.preview_map()
    red = [GAIN, -GAIN, -GAIN, -GAIN / 3]
    shown = [sum(value * row[c] for value, row in zip(red, written["factors"], strict=True)) for c in range(3)]
    assert [value + bias for value, bias in zip(shown, written["bias"], strict=True)] == pytest.approx([255, 0, 0])
