"""Data sets of the papers."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..checks import float_array, generator, integer, one_of
from .mnist import shipped_digits

CROP, SIZE = 20, 4
"""Frye et al. 2021, A.1.1: MNIST is cropped to 20 × 20 and rescaled to 4 × 4."""

SCALINGS = ("pixel", "overall")
"""What a z-score is taken over: each pixel by itself, or all of them together. The paper does not
say; "pixel" is what the word mostly means, and evens out the variances, the aim that it states."""

FIXED_POINT = 22
"""Bits after the binary point in Pillow's weights: 32, less 8 of a pixel, less 2 for sums."""


def small_digits(scaling: str = "pixel", n_samples: int = 10_000) -> tuple[Array, Array]:
    """Return MNIST images of 4 × 4 pixels, z-scored, and their labels: the data of Figs 3 and 4.

    The first training images, cropped to 20 × 20 about the centre, rescaled and z-scored
    (Frye et al. 2021, A.1.1).

    Parameters
    ----------
    scaling : {"pixel", "overall"}
        See ``z_score``.
    n_samples : int
        Up to the 10,000 of the paper.

    Returns
    -------
    X : array (n_samples, 16)
    labels : integer array (n_samples,)

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    FileNotFoundError
        If the shipped images are not there.
    """
    one_of("scaling", scaling, SCALINGS)
    images, labels = shipped_digits()
    integer("n_samples", n_samples, at_least=2, at_most=len(images))
    small = resize(crop(images[:n_samples], CROP), SIZE)
    X = small.reshape(n_samples, -1).astype(np.float64)
    return z_score(X, scaling), labels[:n_samples]


def zeros_and_ones(
    rng: np.random.Generator, n_samples: int = 50, n_components: int = 32
) -> tuple[Array, Array, Array]:
    """Return random images of 0s and 1s, reduced to principal components, and shuffled labels.

    The data of Fig. 5 (Frye et al. 2021, A.1.1). Pixels are scaled to [0, 1]; the components are
    not scaled further, as by scikit-learn, which the paper used.

    Parameters
    ----------
    rng : numpy.random.Generator
        Chooses the images and shuffles the labels.
    n_samples : int
        At least 2. The defaults are those of the paper.
    n_components : int
        At least 1 and less than ``n_samples``: the last component of centred data is zero.

    Returns
    -------
    X : array (n_samples, n_components)
    labels : integer array (n_samples,)
        0 or 1, shuffled.
    true_labels : integer array (n_samples,)
        What the images show.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    FileNotFoundError
        If the shipped images are not there.
    """
    rng = generator("rng", rng)
    images, labels = shipped_digits()
    among = np.flatnonzero(labels <= 1)
    integer("n_samples", n_samples, at_least=2, at_most=len(among))
    integer("n_components", n_components, at_least=1, at_most=n_samples - 1)
    chosen = rng.choice(among, n_samples, replace=False)
    X = images[chosen].reshape(n_samples, -1) / 255.0
    return principal_components(X, n_components), rng.permutation(labels[chosen]), labels[chosen]


def crop(images: Array, size: int) -> Array:
    """Return the squares (N, size, size) about the centre of images (N, height, width).

    Raises
    ------
    TypeError, ValueError
        If the size is not an integer from 1 to the shorter side.
    """
    integer("size", size, at_least=1, at_most=min(images.shape[1:]))
    top, left = ((length - size) // 2 for length in images.shape[1:])
    return images[:, top : top + size, left : left + size]


def resize(images: Array, size: int) -> Array:
    """Return square images of uint8, (N, width, width), made smaller: (N, size, size) of uint8.

    Each new pixel is the mean of the old ones under a triangle that is as wide as two new pixels,
    cut off at the border; first along the rows, then along the columns, rounded after each. That is
    Pillow's bilinear filter, which PyTorch's transform of images calls, to the last bit.

    Parameters
    ----------
    images : array (N, width, width) of uint8
    size : int
        From 1 to the width.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise TypeError(f"images must hold uint8 numbers, not {images.dtype}")
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise ValueError(f"images must have shape (N, width, width), not {images.shape}")
    width = images.shape[-1]
    integer("size", size, at_least=1, at_most=width)
    weights = np.rint(_triangles(width, size) * 2**FIXED_POINT).astype(np.int64)
    for _ in range(2):  # the two axes change places each time
        sums = images.astype(np.int64) @ weights + 2 ** (FIXED_POINT - 1)
        images = (sums >> FIXED_POINT).astype(np.uint8).swapaxes(1, 2)
    return images


def _triangles(width: int, size: int) -> Array:
    """Return the weights (width, size) of ``width`` old pixels in the ``size`` new ones."""
    scale = width / size
    centres = (np.arange(size) + 0.5) * scale
    distances = np.abs(np.arange(width)[:, None] + 0.5 - centres) / scale
    triangles = np.maximum(1.0 - distances, 0.0)
    return triangles / triangles.sum(axis=0)


def z_score(X: Array, scaling: str = "pixel") -> Array:
    """Return X (N, d) with mean 0 and variance 1.

    Parameters
    ----------
    X : array (N, d)
    scaling : {"pixel", "overall"}
        Whether each column has them, or X as a whole.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or a column or X as a whole is constant.
    """
    X = float_array("X", X, "N", "d")
    axis = 0 if one_of("scaling", scaling, SCALINGS) == "pixel" else None
    largest, constant = np.abs(X).max(axis=axis), X.max(axis=axis) == X.min(axis=axis)
    # a power of two changes no digit, and leaves nothing whose square is none
    X = np.ldexp(X, -np.frexp(np.where(largest > 0.0, largest, 1.0))[1])
    deviation = X.std(axis=axis)
    # a constant's rounded mean leaves it a deviation
    if np.any(constant | (deviation == 0.0)):
        if axis is None:
            raise ValueError("X must not be constant")
        which = ", ".join(map(str, np.flatnonzero(constant | (deviation == 0.0))[:10]))
        raise ValueError(
            f"X must have no constant columns, as {which} are; scaling='overall' takes all together"
        )
    return (X - X.mean(axis=axis)) / deviation


def principal_components(X: Array, n_components: int) -> Array:
    """Return the coordinates (N, n_components) of X (N, d) along its principal axes.

    X is centred first. Axes have length 1 and point to where their largest element is positive.

    Parameters
    ----------
    X : array (N, d)
    n_components : int
        From 1 to min(N, d).

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    """
    X = float_array("X", X, "N", "d")
    integer("n_components", n_components, at_least=1, at_most=min(X.shape))
    centred = X - X.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:n_components]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    return centred @ (axes * np.sign(largest)).T
