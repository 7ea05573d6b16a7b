"""What several test modules share."""

import matplotlib.pyplot as plt
import pytest

from autocrit_lite import plotting


@pytest.fixture
def ax():
    with plotting.style():
        figure, ax = plt.subplots()
    yield ax
    plt.close(figure)
