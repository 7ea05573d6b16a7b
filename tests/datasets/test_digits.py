from math import fsum

import numpy as np
import pytest

from autocrit_lite.datasets.digits import (
    crop,
    principal_components,
    resize,
    small_digits,
    z_score,
    zeros_and_ones,
)
from autocrit_lite.datasets.gaussian import gaussian
from autocrit_lite.datasets.mnist import shipped_digits


def test_gaussian_has_the_papers_size_and_covariance():
    X = gaussian(np.random.default_rng(0))
    assert X.shape == (10_000, 16)
    # five standard errors of a sample covariance
    error = 5 * np.sqrt(np.outer(np.arange(1, 17), np.arange(1, 17)) * (1 + np.eye(16)) / 10_000)
    assert np.all(np.abs(X.T @ X / len(X) - np.diag(np.arange(1, 17))) < error)


@pytest.mark.parametrize("seed", range(5))
def test_gaussian_is_centred_to_rounding(seed):
    X = gaussian(np.random.default_rng(seed))
    means = [fsum(column) / len(column) for column in X.T]  # summed without rounding
    assert np.max(np.abs(means)) < 3e-16
    once = X - X.mean(axis=0)
    assert np.max(np.abs(once.mean(axis=0))) >= np.max(np.abs(X.mean(axis=0)))


def test_gaussian_takes_other_sizes_and_repeats():
    X = gaussian(np.random.default_rng(1), n_samples=7, variances=[4.0, 1e-6])
    assert X.shape == (7, 2)
    again = gaussian(np.random.default_rng(1), n_samples=7, variances=np.array([4.0, 1e-6]))
    np.testing.assert_array_equal(X, again)
    assert np.any(gaussian(np.random.default_rng(2), n_samples=7, variances=[4.0, 1e-6]) != X)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator, not 0"),
        ({"n_samples": 1}, ValueError, "n_samples must be at least 2, not 1"),
        ({"n_samples": 10.0}, TypeError, "n_samples must be an integer"),
        ({"variances": [1.0, 0.0]}, ValueError, "variances must be positive"),
        ({"variances": [[1.0]]}, ValueError, "variances must have shape"),
        ({"variances": []}, ValueError, "variances must have shape"),
        ({"variances": [1.0, np.inf]}, ValueError, "variances must be finite"),
        ({"variances": [1j, 2]}, TypeError, "variances must hold real numbers"),
    ],
)
def test_bad_input_is_refused(arguments, error, says):
    with pytest.raises(error, match=says):
        gaussian(**{"rng": np.random.default_rng(0), **arguments})


def test_small_digits_are_z_scored_images_of_16_pixels():
    X, labels = small_digits()
    assert X.shape == (10_000, 16)
    np.testing.assert_allclose(X.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(X.std(axis=0), 1.0)
    assert np.bincount(labels).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    overall, _ = small_digits("overall")
    assert overall.mean() == pytest.approx(0.0, abs=1e-12)
    assert overall.std() == pytest.approx(1.0)
    # the same images: each pixel is a multiple of the other's, shifted
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(X.T, overall.T, strict=True)]
    np.testing.assert_allclose(correlation, 1.0)
    first, _ = small_digits("overall", 100)
    assert first.shape == (100, 16)
    assert first.std() == pytest.approx(1.0)


def test_the_ink_is_where_the_image_has_it():
    images = np.zeros((2, 28, 28), np.uint8)
    images[0, 4:9, 19:24] = 255  # the upper right of the square in the middle
    images[1, :4] = images[1, :, 24:] = 255  # the border, which is cut off
    upper, border = resize(crop(images, 20), 4)
    assert upper.argmax() == 3
    assert upper[2:].max() == upper[:, :2].max() == 0
    assert border.max() == 0


@pytest.mark.parametrize(("width", "size"), [(20, 4), (28, 4), (28, 7), (20, 3), (9, 9), (5, 1)])
def test_resize_is_pillows_to_the_last_bit(width, size):
    image = pytest.importorskip("PIL.Image")
    images = np.random.default_rng(0).integers(0, 256, (200, width, width), dtype=np.uint8)
    images[0] = 255
    images[1, ::2] = 0
    expected = [
        np.asarray(image.fromarray(one).resize((size, size), image.Resampling.BILINEAR))
        for one in images
    ]
    np.testing.assert_array_equal(resize(images, size), expected)


def test_resize_is_pillows_on_the_shipped_digits():
    image = pytest.importorskip("PIL.Image")
    images = crop(shipped_digits().images[::20], 20)
    expected = [
        np.asarray(image.fromarray(one).resize((4, 4), image.Resampling.BILINEAR)) for one in images
    ]
    np.testing.assert_array_equal(resize(images, 4), expected)


def test_resize_keeps_what_is_even_and_forgets_no_pixel():
    np.testing.assert_array_equal(resize(np.full((1, 20, 20), 77, np.uint8), 4), 77)
    one_pixel = np.zeros((400, 20, 20), np.uint8)
    one_pixel.reshape(400, 400)[np.arange(400), np.arange(400)] = 255
    assert np.all(resize(one_pixel, 4).max(axis=(1, 2)) > 0)


def test_principal_components_are_uncorrelated_and_keep_distances():
    X = np.random.default_rng(0).standard_normal((30, 8)) @ np.diag(np.arange(1.0, 9.0)) + 5.0
    Z = principal_components(X, 8)
    covariance = Z.T @ Z
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9)
    assert np.all(np.diff(np.diag(covariance)) < 0)
    gaps = [np.linalg.norm(A[:, None] - A[None], axis=-1) for A in (X, Z)]
    np.testing.assert_allclose(*gaps, atol=1e-9)
    # where one starts to count does not matter, nor does the order of the samples
    np.testing.assert_allclose(principal_components(X[::-1] - 3.0, 3), Z[::-1, :3], atol=1e-9)


def test_zeros_and_ones_are_50_images_with_shuffled_labels():
    X, labels, true = zeros_and_ones(np.random.default_rng(0))
    assert X.shape == (50, 32)
    np.testing.assert_allclose(X.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_array_equal(np.sort(labels), np.sort(true))
    assert 0 < np.mean(labels != true) < 1
    # the first component tells the two digits apart: these are the images, not noise
    side = X[:, 0] > 0
    assert max(np.mean(side == (true == 1)), np.mean(side == (true == 0))) > 0.9
    again = zeros_and_ones(np.random.default_rng(0))
    for one, other in zip((X, labels, true), again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.any(zeros_and_ones(np.random.default_rng(1))[0] != X)


CONSTANT = np.column_stack([np.arange(7.0), np.full(7, 0.1)])  # the mean of 0.1 is rounded


def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: small_digits("row"), ValueError, "scaling must be one of 'pixel', 'overall'"),
        (lambda: small_digits(n_samples=10_001), ValueError, "n_samples must be from 2 to 10000"),
        (lambda: small_digits(n_samples=1), ValueError, "n_samples must be from 2"),
        (lambda: zeros_and_ones(0), TypeError, "rng must be a numpy.random.Generator"),
        (lambda: zeros_and_ones(rng(), 3000), ValueError, "n_samples must be from 2 to 2128"),
        (lambda: zeros_and_ones(rng(), 20, 20), ValueError, "n_components must be from 1 to 19"),
        (lambda: resize(np.zeros((1, 4, 4)), 2), TypeError, "images must hold uint8"),
        (lambda: resize(np.zeros((4, 4), np.uint8), 2), ValueError, "images must have shape"),
        (lambda: resize(np.zeros((1, 4, 4), np.uint8), 5), ValueError, "size must be from 1 to 4"),
        (lambda: crop(np.zeros((1, 4, 4)), 5), ValueError, "size must be from 1 to 4, not 5"),
        (
            lambda: z_score(np.ones((3, 2))),
            ValueError,
            "X must have no constant columns, as 0, 1 are",
        ),
        (lambda: z_score(CONSTANT), ValueError, "X must have no constant columns, as 1 are"),
        (lambda: z_score(CONSTANT[:, 1:], "overall"), ValueError, "X must not be constant"),
        (lambda: z_score(np.arange(3.0)), ValueError, r"X must have shape \(N, d\), N > 0, d > 0"),
        (lambda: z_score(np.zeros((0, 3))), ValueError, r"X must have shape .*, not \(0, 3\)"),
        (lambda: z_score(np.eye(3), "row"), ValueError, "scaling must be one of"),
        (lambda: principal_components(np.eye(3), 4), ValueError, "n_components must be from 1"),
    ],
)
def test_bad_arguments_of_the_digits_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_z_scores_have_no_scale():
    X = np.random.default_rng(0).normal(size=(50, 3))
    for scaling in ("pixel", "overall"):
        expected = z_score(X, scaling)
        for power in (-1000, -600, 600, 1000):
            assert np.array_equal(z_score(np.ldexp(X, power), scaling), expected)
    gap = X.copy()
    gap[4, 1] = -np.finfo(float).max
    found = z_score(gap)
    assert np.array_equal(found[:, [0, 2]], z_score(X)[:, [0, 2]])
    others = np.arange(50) != 4
    assert np.allclose(found[:, 1], np.where(others, 1.0 / 7.0, -7.0), rtol=1e-12)


def test_an_image_is_cropped_by_its_shorter_side():
    wide = np.zeros((2, 4, 9), dtype=np.uint8)
    assert crop(wide, 4).shape == crop(np.swapaxes(wide, 1, 2), 4).shape == (2, 4, 4)
    for images in (wide, np.swapaxes(wide, 1, 2)):
        with pytest.raises(ValueError, match="size must be from 1 to 4, not 5"):
            crop(images, 5)
