"""Evaluation: figures, plots and the report of a detector on a labelled log, and the log of training runs."""
