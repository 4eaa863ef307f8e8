"""Sampling: from seeds and conditionings to a latent, in k-diffusion's form."""
