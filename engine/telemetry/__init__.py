"""What an operator sees of a running engine: metrics, traces, health and logs."""
