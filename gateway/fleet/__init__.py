"""The workers: RunPod's worker protocol, served, and processes of our own."""
