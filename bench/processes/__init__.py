"""Programs that scenarios start next to themselves."""
