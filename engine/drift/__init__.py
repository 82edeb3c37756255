"""Drift: does the stream still look like the one that the model in service went into service with?"""
