"""Cooper 2020: the critical locus."""
