"""Decides when a round runs and what becomes of its result."""
