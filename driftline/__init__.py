"""Driftline's public Python interface."""

from foundation.version import VERSION as __version__

__all__ = ["__version__"]
