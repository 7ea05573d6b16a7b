"""The panels draw the data they are given."""

import numpy as np

from autocrit_lite.papers.frye_2021 import panels


def test_ends_by_row_stacks_counts_that_add_up_to_the_runs(ax):
    codes = np.array([[0, 0, 2], [1, 3, 3]])
    panels.ends_by_row(ax, ["a", "b"], codes, ["0", "1", "2", "3"])
    left = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert left == [(0, 2), (0, 0), (2, 0), (0, 1), (2, 1), (1, 0), (3, 0), (1, 2)]
    low, high = ax.get_ylim()
    assert low > high
