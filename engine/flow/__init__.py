"""How Bytewax runs the steps: state, timers, end of stream, and what a worker hands to them."""
