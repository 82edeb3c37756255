"""What Driftline is measured against."""
