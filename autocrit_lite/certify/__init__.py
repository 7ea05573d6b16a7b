"""Proofs that a critical point is there, with its index and its loss."""
