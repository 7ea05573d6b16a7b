"""Sankar & Balasubramanian 2018: degenerate saddles."""
