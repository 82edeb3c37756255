"""How the updates of a region are protected: one class for each privacy mode."""
