"""Does a detector find an incident in an ordinary log? Backgrounds, incidents, judges and peers."""
