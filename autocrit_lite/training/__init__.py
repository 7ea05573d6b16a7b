"""Optimizers, and starts sampled from their trajectories."""
