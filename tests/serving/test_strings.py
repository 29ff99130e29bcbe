"""Strings as one block of bytes."""

import numpy as np

from serving.strings import lengths, pack, row_bytes


def test_rows_are_cut_without_a_copy_and_come_back() -> None:
    array = np.array([[b"a", b""], [b"bcd", b"\xff"], [b"", b"ef"]], object)
    strings = pack(array)
    assert (bytes(strings.blob), strings.ends.tolist()) == (b"abcd\xffef", [0, 1, 1, 4, 5, 5, 7])
    assert strings.array().tolist() == array.tolist()

    cut = strings[1:3]
    assert (len(cut), cut.shape, cut.nbytes) == (2, (2, 2), 6)
    assert cut.blob is strings.blob
    assert cut.array().tolist() == [[b"bcd", b"\xff"], [b"", b"ef"]]
    assert cut[1:2].array().tolist() == [[b"", b"ef"]]
    assert cut[2:2].array().shape == (0, 2)


def test_sizes_are_the_same_for_objects_and_for_a_block() -> None:
    array = np.array([[b"a", b""], [b"bcd", b"\xff"]], object)
    for value in (array, pack(array)):
        assert lengths(value).tolist() == [[1, 0], [3, 1]]
        assert row_bytes(value).tolist() == [1 + 16, 4 + 16]  # And 8 bytes for each string.
    assert row_bytes(np.zeros((0, 5), object)).tolist() == []
    assert row_bytes(np.zeros((3, 5), np.float32)).tolist() == [20, 20, 20]


def test_a_scalar() -> None:
    scalar = np.empty((), object)
    scalar[()] = b"abc"
    assert pack(scalar).array()[()] == b"abc"
