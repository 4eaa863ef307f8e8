"""Pictures as arrays: pure functions of uint8 pixels, for the plan and the engine alike. No files, no torch."""
