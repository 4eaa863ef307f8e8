"""Telling others that a job has ended: the outbox, its dialects, and the only code here that calls out."""
