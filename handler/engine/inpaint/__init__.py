"""Repainting a part of a picture: latents, the mixing at every model call, and the network that is made for it."""
