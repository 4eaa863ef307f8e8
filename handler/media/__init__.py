"""Pictures in and out: guarded fetch of user URLs, guarded decode of user files, encoding, metadata."""
