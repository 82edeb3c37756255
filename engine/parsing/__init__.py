"""How a line is taken apart: formats, times, session keys, and templates by the shape of a line."""
