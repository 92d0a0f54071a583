"""The laboratory, never shipped: the local stack, the sample, proofs and benchmarks."""
