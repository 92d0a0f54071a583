"""Long proofs: soak, torture, upgrade; their faults and their verdicts."""
