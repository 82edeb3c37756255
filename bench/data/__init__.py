"""Workloads and data sets of the benchmarks."""
