"""The control images of a job, made ready once and put around the base network for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from handler.engine.checkpoint import SdxlModel
from handler.engine.control.attention import PromptedNetwork, Rows, ShownPicture, shown_to
from handler.engine.control.ip_adapter import IpAdapter, shown_picture
from handler.engine.control.models import ADAPTERS, ControlModels
from handler.engine.control.pictures import hint_picture, prompt_picture
from handler.engine.control.residuals import SteeredNetwork, Steering, embedded_hint, strengths
from handler.engine.sampling.network import Network, Steerable
from handler.engine.vae import FACTOR
from handler.engine.weights import WeightsError, reported_at
from handler.plan.model_sampling import model_sampling
from handler.plan.plan import ControlPlan, Plan


@dataclass(frozen=True)
class Guides:
    """steerings: ControlNets at work. pictures: image prompts."""

    steerings: Sequence[Steering]
    pictures: Sequence[ShownPicture]

    def around(self, network: Steerable, model: SdxlModel, patches: ExitStack) -> Network:
        """`network`, which calls the model's UNet, under these guides until `patches` is left."""
        if self.pictures:
            rows = Rows(model.device)
            patches.enter_context(shown_to(model.unet, self.pictures, rows))
            network = PromptedNetwork(network, self.pictures, rows)
        return SteeredNetwork(network, self.steerings) if self.steerings else network


def make_guides(plan: Plan, model: SdxlModel, models: ControlModels) -> Guides:
    """Load what the plan's control images need, and make them ready. One that stops at 0 is left out.

    Raises ModelMissing, ModelLoadError at the field that brought the image, and OutOfMemory.
    """
    controls = [control for control in plan.controls if control.stop_at > 0]
    prompts = [control for control in controls if control.kind in ADAPTERS]
    hints = [control for control in controls if control.kind not in ADAPTERS]
    return Guides([_steering(control, plan, models) for control in hints], _shown(prompts, plan, model, models))


def _steering(control: ControlPlan, plan: Plan, models: ControlModels) -> Steering:
    with reported_at(control.loc):
        network = models.controlnet(control.kind)
    picture = hint_picture(control, plan.width, plan.height)
    hint = embedded_hint(network, picture, plan.height // FACTOR, plan.width // FACTOR)
    residuals = len(network.network.controlnet_down_blocks) + 1
    return Steering(network, hint, strengths(control.weight, control.softness, residuals), _until(control, plan))


def _until(control: ControlPlan, plan: Plan) -> float:
    """The noise level at which a control image stops."""
    return model_sampling(plan.sampling.scheduler).sigma_at_progress(control.stop_at)


def _shown(controls: Sequence[ControlPlan], plan: Plan, model: SdxlModel, models: ControlModels) -> list[ShownPicture]:
    if not controls:
        return []
    with reported_at(controls[0].loc):
        encoder = models.encoder()
        negative = models.negative()
    features = encoder.encode([_picture(control, models) for control in controls])
    shown = []
    for control, own in zip(controls, features, strict=True):
        with reported_at(control.loc):
            adapter = models.adapter(control.kind)
            _check_width(adapter, encoder.width)
            against = adapter.resampler(encoder.encode_nothing()) if negative is None else negative
            tokens = _pair(adapter.resampler(own[None]), against)
            shown.append(shown_picture(adapter, tokens, model.unet, control.weight, _until(control, plan)))
    return shown


def _picture(control: ControlPlan, models: ControlModels) -> np.ndarray:
    with reported_at(control.loc):
        return prompt_picture(control, models.find_face)


def _check_width(adapter: IpAdapter, width: int) -> None:
    if adapter.resampler.proj_in.in_features != width:
        raise WeightsError("the IP-Adapter was made for another image encoder")


def _pair(tokens: Tensor, against: Tensor) -> Tensor:
    """[2, n, token width]"""
    if tokens.shape != against.shape:
        raise WeightsError("the tokens that stand against image prompts do not fit this IP-Adapter")
    return torch.cat([tokens, against])
