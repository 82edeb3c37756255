"""The lowest floor: what every package may use and nothing of ours stands below."""
