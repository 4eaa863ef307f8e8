"""Every area of vectors: the kinds of cases it has, and the defects of the original that are not copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.parity.areas import (
    conditioning,
    controlnet,
    edits,
    end_to_end,
    esrgan,
    freeu,
    guidance,
    image,
    inpaint,
    ip_adapter,
    lora,
    masks,
    preview,
    refiner,
    samplers,
    sigmas,
    text,
    vae,
)
from benchmarks.parity.kind import Kind
from benchmarks.parity.vectors import Case

AREAS: dict[str, tuple[Kind, ...]] = {
    "sigmas": sigmas.KINDS,
    "samplers": samplers.KINDS,
    "guidance": guidance.KINDS,
    "conditioning": conditioning.KINDS,
    "lora": lora.KINDS,
    "freeu": freeu.KINDS,
    "refiner": refiner.KINDS,
    "text": text.KINDS,
    "vae": vae.KINDS,
    "esrgan": esrgan.KINDS,
    "preview": preview.KINDS,
    "image": (*image.KINDS, *masks.KINDS),
    "end_to_end": (*edits.KINDS, *end_to_end.KINDS),
    "inpaint": inpaint.KINDS,
    "controlnet": controlnet.KINDS,
    "ip_adapter": ip_adapter.KINDS,
}


@dataclass(frozen=True)
class Defect:
    """A flaw of Fooocus that this worker does not have. applies: whether the whole case records nothing else."""

    reason: str
    applies: Callable[[Case], bool] = lambda case: True


def _has_no_intended_tensors(case: Case) -> bool:
    return not any(name.startswith(sigmas.INTENDED) for name in case.names("expected"))


DEFECTS: dict[str, Defect] = {
    "bug:main_sampler_uses_normal": Defect(
        "Fooocus samples with the normal schedule when turbo or align_your_steps is asked for; here they are used",
        _has_no_intended_tensors,
    ),
    "bug:outpaint_uses_users_strength_and_field": Defect(
        "Fooocus sets outpainting's strength and field too late; here they are in force"
    ),
    "bug:uni_pc_samplers_skip_inpaint_latent_mixing": Defect(
        "Fooocus's uni_pc samplers repaint the kept part too; here it is kept"
    ),
}
"""By flag of the case."""
