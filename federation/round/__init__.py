"""One federated round: guarded aggregation, strategies, the gate."""
