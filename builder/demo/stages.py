"""The training recipe: text encoders, VAE, UNet and LoRAs, each resumable, and the networks they leave behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from builder.demo import bundle, train_loras, train_text, train_unet, train_vae
from builder.demo.networks import Networks, create
from builder.demo.train_unet import Start

WORK = Path(".demo-work")


@dataclass(frozen=True)
class Plan:
    """Steps of each stage, `loras` of each LoRA, and the seed they share.

    device: what the UNet and the LoRAs are trained on. scale, workers: see `train_unet.train`. start: a bundle whose
    text encoders and VAE are kept and whose UNet is trained further, from `begin` (0..1) of the curriculum on, at the
    share `rate` (0..1) of the usual rates.
    """

    text: int = 500
    vae: int = 1300
    unet: int = 11_500
    loras: int = 300
    checker: int = 600
    seed: int = 0
    device: str = "cpu"
    scale: int = 1
    workers: int = 0
    start: Path | None = None
    begin: float = Start.part
    rate: float = Start.rate


def train(plan: Plan, work: Path = WORK, until: int | None = None) -> Networks:
    """Run or resume every stage, the UNet up to step `until`; returns what has been learned so far."""
    networks, start = create(plan.seed), None
    if plan.start is None:
        train_text.train(networks, work, plan.text, plan.seed)
        train_vae.train(networks.vae, work, plan.vae, plan.seed)
    else:
        earlier = bundle.read(plan.start)
        start = Start(earlier.unet.state_dict(), plan.begin, plan.rate)
        _take(networks, earlier, "text_encoder", "text_encoder_2", "vae")
    for module in networks.modules().values():
        module.to(plan.device)
    train_unet.train(networks, work, plan.unet, plan.seed, until, plan.scale, plan.workers, start)
    return trained(work, plan.seed, plan.start)


def loras(networks: Networks, plan: Plan, work: Path = WORK) -> dict[str, dict[str, torch.Tensor]]:
    """Run or resume the training of every LoRA on the finished `networks`; the files' contents by name."""
    for module in networks.modules().values():
        module.to(plan.device)
    files = {name: train_loras.train(networks, name, work, plan.loras, plan.seed) for name in train_loras.TRAINED}
    return {name: {key: tensor.cpu() for key, tensor in tensors.items()} for name, tensors in files.items()}


def trained(work: Path = WORK, seed: int = 0, start: Path | None = None) -> Networks:
    """The networks in `work`'s checkpoints, the UNet's moving average among them.

    Missing stages are those of the bundle `start`, without one they stay random.
    """
    networks = create(seed)
    if start is not None:
        _take(networks, bundle.read(start), *networks.modules())
    if (state := _state(work / "text.pt")) is not None:
        for name, module in (("text_1.", networks.text_1), ("text_2.", networks.text_2)):
            module.load_state_dict({k.removeprefix(name): v for k, v in state["model"].items() if k.startswith(name)})
    if (state := _state(work / "vae.pt")) is not None:
        networks.vae.load_state_dict(state["model"])
    if (state := _state(work / "unet.pt")) is not None:
        networks.unet.load_state_dict(state["average"])
    for module in networks.modules().values():
        module.eval()
    return networks


def _take(networks: Networks, earlier: Networks, *names: str) -> None:
    """Give `networks` the weights of the networks of these names, and nothing that says where they lay."""
    for name in names:
        networks.modules()[name].load_state_dict(earlier.modules()[name].state_dict())


def _state(path: Path) -> dict | None:
    return torch.load(path, weights_only=True, map_location="cpu") if path.exists() else None
