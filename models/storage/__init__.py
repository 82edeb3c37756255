"""Where trained models are kept."""
