"""The gateway's own bucket, through which pictures go to a RunPod endpoint and come back."""
