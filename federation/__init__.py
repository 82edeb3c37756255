"""Federated retraining across regions."""
