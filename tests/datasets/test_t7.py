"""Files of Torch 7, written here as its File.lua writes them."""

import struct

import numpy as np
import pytest

from autocrit_lite.datasets.t7 import DEEPEST, NUMBERS, read_t7


def text(value):
    return struct.pack("<i", len(value)) + value.encode()


def number(value):
    return struct.pack("<id", 1, value)


def table(index, *pairs):
    return struct.pack("<iii", 3, index, len(pairs)) + b"".join(a + b for a, b in pairs)


def storage(index, values, kind="Float"):
    head = struct.pack("<ii", 4, index) + text("V 1") + text(f"torch.{kind}Storage")
    return head + struct.pack("<q", len(values)) + values.tobytes()


def tensor(index, shape, strides, start, own, kind="Float"):
    head = struct.pack("<ii", 4, index) + text("V 1") + text(f"torch.{kind}Tensor")
    sizes = struct.pack(f"<i{2 * len(shape) + 1}q", len(shape), *shape, *strides, start + 1)
    return head + sizes + own


def whole(array, kind="Float", index=1):
    strides = [step // array.itemsize for step in array.strides]
    own = storage(index + 1, array.ravel(), kind)
    return tensor(index, array.shape, strides, 0, own, kind)


FEATURES = np.random.default_rng(0).standard_normal((5, 3)).astype("<f4")


@pytest.fixture
def read(tmp_path):
    def written(data):
        (tmp_path / "own.t7").write_bytes(data)
        return read_t7(tmp_path / "own.t7")

    return written


@pytest.mark.parametrize("kind", NUMBERS)
def test_tensors_of_all_types(read, kind):
    array = np.arange(12).reshape(4, 3).astype(NUMBERS[kind])
    found = read(whole(array, kind))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_a_table_of_features_and_labels(read):
    labels = np.array([1, 10, 3, 3, 7], dtype="<u1")
    found = read(
        table(
            1,
            (struct.pack("<i", 2) + text("data"), whole(FEATURES, index=2)),
            (struct.pack("<i", 2) + text("labels"), whole(labels, "Byte", index=4)),
            (number(1.0), struct.pack("<ii", 5, 1)),
            (number(2.0), struct.pack("<i", 0)),
        )
    )
    assert list(found) == ["data", "labels", 1.0, 2.0]
    np.testing.assert_array_equal(found["data"], FEATURES)
    np.testing.assert_array_equal(found["labels"], labels)
    assert found[1.0] is True
    assert found[2.0] is None


def test_a_tensor_may_be_a_transposed_part_of_its_storage(read):
    own = np.arange(20, dtype="<f4")
    found = read(tensor(1, (3, 4), (1, 5), 2, storage(2, own)))
    np.testing.assert_array_equal(found, own.reshape(4, 5)[:, 2:].T)


def test_tensors_share_what_was_met_before(read):
    first = whole(FEATURES, index=2)
    second = tensor(4, (5,), (3,), 1, struct.pack("<ii", 4, 3))
    found = read(table(1, (number(1.0), first), (number(2.0), second)))
    np.testing.assert_array_equal(found[2.0], FEATURES[:, 1])


def test_an_empty_tensor(read):
    assert read(tensor(1, (), (), 0, struct.pack("<i", 0))).shape == (0,)


def nested(depth):
    return b"".join(struct.pack("<iii", 3, i, 1) + number(1.0) for i in range(depth))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends within 4 bytes that begin at byte 0"),
        (whole(FEATURES)[:-1], "ends within 60 bytes"),
        (whole(FEATURES) + b"\0", "1 bytes follow its end"),
        (b"PK\x03\x04" + bytes(20), "object of kind 67324752, at byte 0"),
        (struct.pack("<ii", 4, 1) + text("V 1") + text("nn.Linear"), "a 'nn.Linear', which is no"),
        (struct.pack("<i", 2) + struct.pack("<i", -1), "ends within -1 bytes"),
        (struct.pack("<i", 2) + struct.pack("<i", 1) + b"\xff", "utf-8"),
        (table(1, (struct.pack("<i", 0), number(1.0))), "key of a table is NoneType"),
        (tensor(1, (5, 4), (4, 1), 0, storage(2, FEATURES.ravel())), r"shape \[5, 4\] goes beyond"),
        (tensor(1, (5, 4), (0, 0), 0, storage(2, FEATURES.ravel())), r"shape \[5, 4\] goes beyond"),
        (tensor(1, (2, 3), (3, 1), 10, storage(2, FEATURES.ravel())), "goes beyond its 15"),
        (tensor(1, (2, -3), (3, 1), 0, storage(2, FEATURES.ravel())), r"shape \[2, -3\]"),
        (tensor(1, (2, 3), (-3, 1), 3, storage(2, FEATURES.ravel())), r"strides \[-3, 1\]"),
        (tensor(1, (2, 3), (3, 1), -1, storage(2, FEATURES.ravel())), "shape"),
        (struct.pack("<ii", 4, 1) + text("torch.FloatTensor") + struct.pack("<i", -2), "-2 dimens"),
        (tensor(1, (2,), (1,), 0, number(1.0)), "no storage of its own type"),
        (tensor(1, (2,), (1,), 0, storage(2, FEATURES.ravel()), "Double"), "no storage of its own"),
        (nested(DEEPEST + 1), f"more than {DEEPEST} tables"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(read, data, message):
    with pytest.raises(ValueError, match=rf"own\.t7 is no \.t7 file .*{message}"):
        read(data)


@pytest.mark.parametrize("end", range(0, len(whole(FEATURES)), 7))
def test_a_file_that_breaks_off_is_refused(read, end):
    with pytest.raises(ValueError, match="it ends within"):
        read(whole(FEATURES)[:end])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_t7(tmp_path / "none.t7")
