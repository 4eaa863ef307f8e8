"""RunPod's client API under `/runpod/v2/{endpoint}`, for its SDKs to work here as in the cloud."""

from gateway.doors.runpod.routes import router

__all__ = ["router"]
