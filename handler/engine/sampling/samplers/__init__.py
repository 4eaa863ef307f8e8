"""The samplers by name: each takes the noisy latent and a `Run`, and returns the latent at the end of the walk."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from handler.engine.sampling.samplers.ddpm import ddpm
from handler.engine.sampling.samplers.distilled import lcm, tcd
from handler.engine.sampling.samplers.dpm_2 import dpm_2, dpm_2_ancestral
from handler.engine.sampling.samplers.dpm_solver import dpm_adaptive, dpm_fast
from handler.engine.sampling.samplers.dpmpp import dpmpp_2m, dpmpp_2s_ancestral
from handler.engine.sampling.samplers.dpmpp_sde import dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_sde
from handler.engine.sampling.samplers.euler import euler, euler_ancestral
from handler.engine.sampling.samplers.heun import heun, heunpp2
from handler.engine.sampling.samplers.lms import lms
from handler.engine.sampling.samplers.restart import restart
from handler.engine.sampling.samplers.run import Run
from handler.engine.sampling.samplers.uni_pc import uni_pc, uni_pc_bh2
from schemas.enums import Sampler

SAMPLERS: dict[Sampler, Callable[[Tensor, Run], Tensor]] = {
    Sampler.EULER: euler,
    Sampler.EULER_ANCESTRAL: euler_ancestral,
    Sampler.HEUN: heun,
    Sampler.HEUNPP2: heunpp2,
    Sampler.DPM_2: dpm_2,
    Sampler.DPM_2_ANCESTRAL: dpm_2_ancestral,
    Sampler.LMS: lms,
    Sampler.DPM_FAST: dpm_fast,
    Sampler.DPM_ADAPTIVE: dpm_adaptive,
    Sampler.DPMPP_2S_ANCESTRAL: dpmpp_2s_ancestral,
    Sampler.DPMPP_SDE: dpmpp_sde,
    Sampler.DPMPP_SDE_GPU: dpmpp_sde,
    Sampler.DPMPP_2M: dpmpp_2m,
    Sampler.DPMPP_2M_SDE: dpmpp_2m_sde,
    Sampler.DPMPP_2M_SDE_GPU: dpmpp_2m_sde,
    Sampler.DPMPP_3M_SDE: dpmpp_3m_sde,
    Sampler.DPMPP_3M_SDE_GPU: dpmpp_3m_sde,
    Sampler.DDPM: ddpm,
    Sampler.LCM: lcm,
    Sampler.TCD: tcd,
    Sampler.RESTART: restart,
    Sampler.DDIM: euler,
    Sampler.UNI_PC: uni_pc,
    Sampler.UNI_PC_BH2: uni_pc_bh2,
}

# Their noise is the increment of one Brownian motion over the noise level.
BROWNIAN = frozenset(
    {
        Sampler.DPMPP_SDE,
        Sampler.DPMPP_SDE_GPU,
        Sampler.DPMPP_2M_SDE,
        Sampler.DPMPP_2M_SDE_GPU,
        Sampler.DPMPP_3M_SDE,
        Sampler.DPMPP_3M_SDE_GPU,
    }
)

# Steps are chosen from the error over the whole batch: for the picture to be its own, it must be sampled alone.
ALONE = frozenset({Sampler.DPM_ADAPTIVE})
