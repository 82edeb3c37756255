"""Loops over the bytes of lines that are compiled to machine code, and the regular expressions that they run."""
