"""Programs that scenarios start beside themselves."""
