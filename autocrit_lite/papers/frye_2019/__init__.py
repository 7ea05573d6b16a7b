"""Frye et al. 2019: critical points of the deep linear autoencoder."""
