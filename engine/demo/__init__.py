"""`driftline demo`: the main job on one machine, with everything it needs."""
