"""A reader's own data files."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..arrays import Array
from ..checks import float_array


def checksum(name: str, path: str) -> str:
    """Return the SHA-256 of the file that the setting ``name`` names.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"{name} must name a data file, and {path!r} is none")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def load_data_file(path: str, sha256: str, labelled: bool) -> tuple[Array, Array]:
    """Return X (N, inputs) and the labels y (N,) in the file that ``data_file`` names.

    Parameters
    ----------
    path, sha256 : str
        The file, and its checksum when it was asked for.
    labelled : bool
        Whether there must be labels; else they are zeros.

    Raises
    ------
    ValueError
        If it does not hold these arrays, or is another file than it was: the message says what.
    """
    names = ("X", "y") if labelled else ("X",)
    arrays = npz_arrays("data_file", path, names, sha256)
    y = arrays["y"] if labelled else np.zeros(len(arrays["X"]), dtype=np.int64)
    return checked_samples(path, "", arrays["X"], y)


def npz_arrays(
    name: str, path: str, wanted: Sequence[str], sha256: str | None = None
) -> dict[str, Array]:
    """Return the arrays ``wanted`` of the data file that the setting ``name`` names.

    An .npz file holds them by name. A single array of an .npy file, or delimited text (commas,
    semicolons or tabs; a first line may name the columns), is X; where y is wanted too, y is the
    column of that name, or else the last one.

    Raises
    ------
    MemoryError
        If they do not fit.
    ValueError
        If it does not hold them, or is another file than it was: the message says what.
    """
    if sha256 is not None and checksum(name, path) != sha256:
        raise ValueError(f"{path} has changed since its results were asked for")
    try:
        data = Path(path).expanduser().read_bytes()
        if not data.startswith((b"PK", NPY)):
            return _split(path, *_text_table(path, data), wanted)
        # in memory, since NumPy leaves a damaged file open
        with io.BytesIO(data) as buffer:
            file = np.load(buffer, allow_pickle=False)
            if isinstance(file, np.ndarray):
                return _split(path, file, [], wanted)
            arrays = {key: file[key] for key in wanted if key in file.files}
    except MemoryError as error:
        raise MemoryError(f"the arrays of {path} do not fit: {error}") from None
    except Exception as error:  # a damaged zip file raises nearly anything
        if isinstance(error, ValueError) and str(error).startswith(path):
            raise
        why = "it holds Python objects" if "allow_pickle" in str(error) else error
        raise ValueError(f"{path} is not a file of plain arrays: {why}") from None
    for key in wanted:
        if key not in arrays:
            raise ValueError(f"{path} must hold {', '.join(wanted)}, and lacks {key}")
    return arrays


NPY = b"\x93NUMPY"


def _split(
    path: str, table: Array, names: Sequence[str], wanted: Sequence[str]
) -> dict[str, Array]:
    """Return X, and the labels y if they are wanted, of one table (N, columns)."""
    if not set(wanted) <= {"X", "y"}:
        raise ValueError(f"{path} must be an .npz file that holds {', '.join(wanted)}")
    if table.ndim != 2 or "y" not in wanted:
        return {"X": table, "y": table[:0]} if "y" in wanted else {"X": table}
    at = names.index("y") if "y" in names else table.shape[1] - 1
    return {"X": np.delete(table, at, axis=1), "y": table[:, at]}


def _text_table(path: str, data: bytes) -> tuple[Array, list[str]]:
    """Return the numbers (N, columns) of delimited text, and the names of its columns, if any."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is neither an .npz or .npy file nor text") from None
    first = text.split("\n", 1)[0]
    delimiter = max((",", ";", "\t"), key=first.count)
    try:
        cells = pd.read_csv(
            io.StringIO(text), sep=delimiter, header=None, dtype=str, keep_default_na=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path} is no table of delimited text: {error}") from None
    numbers = cells.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    has_names = bool(np.isnan(numbers[0]).all()) and len(cells) > 1
    names = [str(name).strip() for name in cells.iloc[0]] if has_names else []
    skipped = int(has_names)
    said_so = cells.apply(lambda column: column.str.strip().str.lower().isin(["nan"])).to_numpy()
    wrong = np.argwhere(np.isnan(numbers) & ~said_so)
    wrong = wrong[wrong[:, 0] >= skipped]
    if len(wrong):
        row, column = wrong[0]
        cell = str(cells.iloc[row, column])
        what = f"{cell!r} is no number" if cell.strip() else "is empty"
        raise ValueError(f"{path}, line {row + 1}, column {column + 1}: {what}")
    return numbers[skipped:], names


def checked_samples(
    path: str, suffix: str, X: Array, y: Array, n_classes: int | None = None
) -> tuple[Array, Array]:
    """Return X{suffix} (N, inputs) as float64 and the labels y{suffix} (N,) as integers.

    Raises
    ------
    TypeError, ValueError
        If they are none: the message names the file and the array.
    """
    what = f"X{suffix} in {path}"
    X = float_array(what, X, finite=False)
    if X.ndim != 2:
        raise ValueError(f"{what} must have shape (N, inputs), not {X.shape}")
    if 0 in X.shape:
        raise ValueError(f"{what} holds no samples: its shape is {X.shape}")
    if len(wrong := np.argwhere(~np.isfinite(X))):
        row, column = wrong[0]
        raise ValueError(
            f"{what} holds {X[row, column]} ({len(wrong)} such numbers, the first in row {row}, "
            f"column {column}, both from 0)"
        )
    what = f"y{suffix} in {path}"
    if y.shape != (len(X),) or y.dtype.kind not in "iuf":
        raise ValueError(
            f"{what} must be integers of shape ({len(X)},), not {y.dtype} of shape {y.shape}"
        )
    if not np.all(y == np.floor(y)):
        raise ValueError(f"{what} must be integers, and holds others")
    if y.min() < 0 or (n_classes is not None and y.max() >= n_classes):
        upwards = "upwards" if n_classes is None else f"to {n_classes - 1}"
        raise ValueError(f"{what} must be labels from 0 {upwards}")
    return X, y.astype(np.int64)
