"""Measurements of the worker: how near its numbers are to Fooocus's, and how fast it is."""
