"""Every contract of fooocus-worker: requests, results, errors, enums and the model catalogue.

Nothing here imports another room of the project, and nothing here imports torch.
"""
