"""Everything that touches Flower: its programs, apps and keys."""
