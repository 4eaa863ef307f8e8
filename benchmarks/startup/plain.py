"""`python -m benchmarks.startup.plain CHECKPOINT`: the same with plain diffusers; JSON on stdout."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.startup.timeline import Timeline

SIDE = 256


def main(checkpoint: Path) -> None:
    timeline = Timeline()
    with timeline.phase("import the SDK"):
        import runpod  # noqa: F401
    with timeline.phase("import torch"):
        import torch
    with timeline.phase("import diffusers"):
        from diffusers import StableDiffusionXLPipeline
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with timeline.phase("load weights"):
        load = StableDiffusionXLPipeline
        read = load.from_pretrained if checkpoint.is_dir() else load.from_single_file
        pipeline = read(str(checkpoint), torch_dtype=torch.float16 if device == "cuda" else torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    with timeline.phase("warm up"):
        pipeline("warm up", width=SIDE, height=SIDE, num_inference_steps=1, guidance_scale=4.0)
    print(json.dumps(timeline.rows()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
