"""How lines become windows: one file a kind of window, and the tables that hold the open ones."""
