"""How long a worker takes until its first job, phase by phase, beside plain diffusers on the same checkpoint."""
