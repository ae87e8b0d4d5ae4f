"""Proofs that no perturbation of a ball fools a small network, or a perturbation that does."""
