"""The same parts run over files: detect, classify, label, evaluate, export."""
