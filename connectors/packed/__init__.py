"""Messages that hold several lines, taken apart by compiled loops."""
