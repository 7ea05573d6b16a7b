"""The command ``autocrit-lite data``."""

import gzip
import hashlib
import io
import urllib.error

import pytest

from autocrit_lite import cli
from autocrit_lite.datasets import mnist
from autocrit_lite.runner import paths


@pytest.fixture
def autocrit(capsys):
    """Call ``autocrit-lite data``; return its status, its output and its lines on stderr."""

    def call(*arguments):
        try:
            status = cli.main(("data", *arguments))
        except SystemExit as leaving:
            status = leaving.code
        output, errors = capsys.readouterr()
        return status, output, errors.splitlines()

    return call


@pytest.fixture(autouse=True)
def pages(monkeypatch, tmp_path):
    """The pages of a small web: one short file under each name."""
    contents = {name: name.encode() for name in mnist.CHECKSUMS}
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(mnist, "CHECKSUMS", checksums)
    monkeypatch.setenv(paths.DATA_VARIABLE, str(tmp_path / "data"))
    pages = {
        f"{mnist.MIRRORS[0]}{name}.gz": gzip.compress(content) for name, content in contents.items()
    }

    def urlopen(address, timeout):
        if address not in pages:
            raise urllib.error.HTTPError(address, 404, "Not Found", None, None)
        return io.BytesIO(pages[address])

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return pages


def test_fetch_says_where_the_files_are(autocrit, tmp_path):
    status, output, errors = autocrit("fetch", "mnist")
    assert (status, errors) == (0, [])
    lines = output.splitlines()
    assert len(lines) == 4
    for line, name in zip(lines, mnist.CHECKSUMS, strict=True):
        assert line.startswith(str(tmp_path / "data" / "mnist" / f"{name}.gz"))
        assert line.endswith("bytes, verified")
    other = tmp_path / "other"
    assert autocrit("fetch", "mnist", "--folder", str(other))[0] == 0
    assert len(list(other.iterdir())) == 4


def test_a_failed_download_is_status_1_with_the_way_by_hand(autocrit, pages, tmp_path):
    pages.clear()
    status, output, errors = autocrit("fetch", "mnist")
    assert (status, output) == (1, "")
    assert all(line.startswith("autocrit-lite: error: ") for line in errors)
    assert "404" in errors[1]
    assert "by hand: get train-images-idx3-ubyte, " in errors[-1]
    assert str(tmp_path / "data" / "mnist") in errors[-1]
    assert not (tmp_path / "data").exists()


def test_a_damaged_file_is_status_1_and_named(autocrit, tmp_path):
    autocrit("fetch", "mnist")
    damaged = tmp_path / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(gzip.compress(b"spoilt"))
    status, _, errors = autocrit("fetch", "mnist")
    assert status == 1
    [line] = errors
    assert str(damaged) in line
    assert "remove it" in line


@pytest.mark.parametrize(
    "arguments", [(), ("fetch",), ("fetch", "cifar"), ("drop", "mnist"), ("fetch", "mnist", "x")]
)
def test_bad_arguments_are_status_2(autocrit, arguments):
    status, output, errors = autocrit(*arguments)
    assert (status, output) == (2, "")
    assert len(errors) == 1


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        cli.main(("--help",))
    assert "  autocrit-lite data fetch mnist" in capsys.readouterr().out
