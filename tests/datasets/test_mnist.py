"""The files of MNIST: reading, downloading, shipping; on small files of the same format."""

import gzip
import hashlib
import io
import struct
import urllib.error

import numpy as np
import pytest

from autocrit_lite.datasets import mnist
from autocrit_lite.runner import paths


def idx(array):
    head = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def originals(monkeypatch):
    """Four small files, by name, that are taken for the original ones."""
    rng = np.random.default_rng(0)
    contents = {
        name: idx(
            rng.integers(0, 256, (60, 28, 28)) if "images" in name else rng.integers(0, 10, 60)
        )
        for name in mnist.CHECKSUMS
    }
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(mnist, "CHECKSUMS", checksums)
    return contents


@pytest.fixture
def web(monkeypatch):
    """A web that has no pages until a test gives it some; it remembers what was asked for."""

    class Web(dict):
        def open(self, address, timeout):
            self.asked.append(address)
            page = self.get(address, urllib.error.URLError("no such host"))
            if isinstance(page, Exception):
                raise page
            return io.BytesIO(page)

    web = Web()
    web.asked = []
    monkeypatch.setattr("urllib.request.urlopen", web.open)
    return web


def write(folder, contents, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


def test_the_shipped_digits_are_the_first_10000_of_the_original():
    images, labels = mnist.shipped_digits()
    assert (images.shape, images.dtype) == ((10_000, 28, 28), np.uint8)
    assert (labels.shape, labels.dtype) == ((10_000,), np.int64)
    # of the first 7,840,000 pixels and 10,000 labels in the files with the checksums in mnist.py
    assert hashlib.sha256(images.tobytes()).hexdigest() == (
        "2f7182bf021ffc5c1f62db987487f14d899b5c639f421a80f3095affc09a7db2"
    )
    assert hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest() == (
        "2f345bad07338ec537641465e169cc4b7288a44244f251211c7f842641e7d927"
    )


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_as_they_are_or_packed(originals, tmp_path, packed):
    write(tmp_path, originals, packed)
    images, labels = mnist.full_digits("test", tmp_path)
    assert images.shape == (60, 28, 28)
    assert images.tobytes() == originals["t10k-images-idx3-ubyte"][16:]
    assert labels.astype(np.uint8).tobytes() == originals["t10k-labels-idx1-ubyte"][8:]
    assert mnist.full_digits("train", str(tmp_path)).labels.dtype == np.int64


def test_the_folder_is_that_of_the_variable(originals, tmp_path, monkeypatch):
    write(tmp_path / "mnist", originals)
    monkeypatch.setenv(paths.DATA_VARIABLE, str(tmp_path))
    assert len(mnist.full_digits("train").images) == 60
    monkeypatch.delenv(paths.DATA_VARIABLE)
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path / "checkout")
    assert paths.mnist() == tmp_path / "checkout" / "data" / "mnist"
    with pytest.raises(FileNotFoundError, match="autocrit-lite data fetch mnist"):
        mnist.full_digits("train")


def test_a_damaged_file_is_named_and_not_read(originals, tmp_path):
    write(tmp_path, originals)
    path = tmp_path / "train-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte is not the original.*remove it"):
        mnist.full_digits("train", tmp_path)
    with pytest.raises(ValueError, match="is not the original"):
        mnist.fetch(tmp_path)
    path.unlink()
    path.with_suffix(".gz").write_bytes(gzip.compress(bytes(content))[:-20])
    with pytest.raises(ValueError, match=r"ubyte.gz is not a complete gzip file.*remove it"):
        mnist.full_digits("train", tmp_path)


def test_fetch_downloads_what_is_missing_and_verifies(originals, web, tmp_path):
    first, second = mnist.MIRRORS
    names = list(originals)
    for name, content in originals.items():
        web[f"{first}{name}.gz"] = gzip.compress(content)
    # one file is there, one only at the second mirror, one damaged at the first, one cut short
    write(tmp_path, {names[0]: originals[names[0]]})
    web[f"{second}{names[1]}.gz"] = web.pop(f"{first}{names[1]}.gz")
    web[f"{second}{names[2]}.gz"] = web[f"{first}{names[2]}.gz"]
    web[f"{first}{names[2]}.gz"] = gzip.compress(b"another file")
    web[f"{second}{names[3]}.gz"] = web[f"{first}{names[3]}.gz"]
    web[f"{first}{names[3]}.gz"] = web[f"{first}{names[3]}.gz"][:30]
    files = mnist.fetch(tmp_path)
    assert [path.name for path in files] == [names[0], *(f"{name}.gz" for name in names[1:])]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert not any(names[0] in address for address in web.asked)
    assert mnist.full_digits("test", tmp_path).images.shape == (60, 28, 28)
    web.asked.clear()
    assert mnist.fetch(tmp_path) == files
    assert web.asked == []


def test_a_failed_download_says_what_to_do_and_leaves_nothing(originals, web, tmp_path):
    folder = tmp_path / "mnist"
    web[f"{mnist.MIRRORS[0]}train-images-idx3-ubyte.gz"] = TimeoutError("timed out")
    web[f"{mnist.MIRRORS[1]}train-images-idx3-ubyte.gz"] = gzip.compress(b"something else")
    with pytest.raises(OSError, match="could not be downloaded") as caught:
        mnist.fetch(folder)
    said = str(caught.value)
    for words in (*mnist.MIRRORS, "timed out", "is not the original", *originals, str(folder)):
        assert words in said
    assert paths.DATA_VARIABLE in said
    assert not folder.exists()


def test_a_full_disk_leaves_no_file_under_its_name(originals, web, tmp_path, monkeypatch):
    for name, content in originals.items():
        web[f"{mnist.MIRRORS[0]}{name}.gz"] = gzip.compress(content)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        mnist.fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_ship_writes_the_first_images(originals, tmp_path, monkeypatch):
    write(tmp_path / "mnist", originals)
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    monkeypatch.setattr(mnist, "N_SHIPPED", 40)
    assert mnist.ship(tmp_path / "mnist") == tmp_path / "data" / "mnist_40.npz"
    images, labels = mnist.shipped_digits()
    every = mnist.full_digits("train", tmp_path / "mnist")
    np.testing.assert_array_equal(images, every.images[:40])
    np.testing.assert_array_equal(labels, every.labels[:40])


def test_an_unknown_part_is_refused(tmp_path):
    with pytest.raises(ValueError, match="part must be one of 'train', 'test', not 'all'"):
        mnist.full_digits("all", tmp_path)


def test_mirrors_are_folders_with_encryption():
    assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in mnist.MIRRORS)
