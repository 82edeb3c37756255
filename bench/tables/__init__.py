"""Tables for the documentation, written from results."""
