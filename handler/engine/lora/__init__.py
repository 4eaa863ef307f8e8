"""LoRA files in every format Fooocus reads, merged into a checkpoint's weights for the time of a job."""

from handler.engine.lora.file import verify
from handler.engine.lora.stack import LoraStack

__all__ = ["LoraStack", "verify"]
