"""A RunPod Serverless endpoint as the gateway's worker: jobs go out over its client API, results come back."""
