"""Puts model files where the worker looks for them: fetch, verify, list, and the demo bundle.

Run `python -m builder --help`.
"""
