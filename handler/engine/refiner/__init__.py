"""Refiners: second networks that finish a picture the base network began."""
