"""Linear algebra: MINRES-QLP, inertia, spectra of large symmetric matrices."""
