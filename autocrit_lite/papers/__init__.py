"""A wing for each paper: its experiments, claims and panels."""
