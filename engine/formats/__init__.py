"""The log formats that are recognised, and what an entry is made of."""
