"""The demo bundle: a tiny SDXL trained on a drawn world."""
