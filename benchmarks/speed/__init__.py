"""What the engine's recipe costs beside the bare network, and how long pictures take."""
