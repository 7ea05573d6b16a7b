"""The data of the papers, and a reader's own."""
