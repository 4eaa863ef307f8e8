"""What control images become before a network sees them: edges, structure, faces. No torch."""
