"""The worker: one job becomes one set of images. `python -m handler` runs it under the RunPod SDK."""
