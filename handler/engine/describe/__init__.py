"""Pictures into words."""
