"""Frye et al. 2021: critical points and gradient-flat regions."""
