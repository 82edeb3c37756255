"""What is kept on disk: training store, labels, documents."""
