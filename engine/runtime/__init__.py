"""What keeps an engine running: processes, recovery, preflight and the loading of models."""
