"""Daemons of Debian's packages, run to see how their logs are read; see `bench.programs.run`."""
