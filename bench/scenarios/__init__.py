"""Benchmark scenarios, one file a family."""
