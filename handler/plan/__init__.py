"""Turns a request into a frozen Plan with pure functions; knows no torch, opens no connection."""
