"""The rows of Tables 1 to 9 of Sankar & Balasubramanian 2018, and controls."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """A row of a table, as it differs from the first one: Nesterov momentum on 784-25-10.

    ``hidden`` holds the widths of the hidden layers as multiples of the setting, ``rate`` and
    ``batch`` are likewise multiples; ``data`` is the name of ``Images``, or None for the
    setting ``images``.
    """

    method: str = "momentum"
    initialization: str = "normal"
    hidden: tuple[int, ...] = (1,)
    data: str | None = None
    precision: str = "double"
    spectrum: bool = True
    rate: float = 1.0
    batch: int = 1


ROWS = {
    "momentum": Row(),  # Tables 1 and 3, "normal" of Table 7
    "Adam": Row("Adam"),
    "Adagrad": Row("Adagrad"),
    "noisy SGD": Row("noisy SGD"),
    "saddle-free Newton": Row("saddle-free Newton"),
    "He": Row(initialization="he"),
    "Xavier": Row(initialization="xavier"),
    "orthogonal": Row(initialization="orthogonal"),
    "2 hidden layers": Row(hidden=(1, 1)),
    "3 hidden layers": Row(hidden=(1, 1, 1)),
    "width × 2": Row(hidden=(2,), spectrum=False),
    "width × 4": Row(hidden=(4,), spectrum=False),
    "width × 10": Row(hidden=(10,), spectrum=False),
    # controls, chosen by us
    "single precision": Row(precision="single"),
    "training images": Row(data="train"),
    "random split": Row(data="split"),
    "all images": Row(data="all"),
    "cropped": Row(data="cropped"),
    "jittered": Row(data="jittered"),
    "rate × 10": Row(rate=10.0),
    "batch × 10": Row(batch=10),
}
"""The rows by name."""

FEATURE_ROWS = tuple(name for name, row in ROWS.items() if row.data is None)
"""Those that features of another data set can have."""

METHODS = ("momentum", "Adam", "Adagrad", "noisy SGD")
"""The first-order methods, Tables 1 and 5."""

CLASSIFIER_LOSSES = ("cross_entropy", "softmax_mse")
