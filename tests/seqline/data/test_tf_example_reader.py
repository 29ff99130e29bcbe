import struct
from typing import Any

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from seqline.data import tf_example_reader
from tests.support.source_files import example


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.lists(st.binary(max_size=200), max_size=3)
        | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3)
        | st.lists(st.floats(width=32, allow_nan=False), max_size=3),
        max_size=4,
    )
)
def test_tf_examples_are_read_as_tensorflow_reads_them(features: dict[str, list[Any]]) -> None:
    parsed = tf_example_reader.parse(example(**features))
    assert sorted(parsed) == sorted(features)
    for name, values in features.items():
        assert list(tf_example_reader.values(parsed[name])) == values


def test_a_float_list_may_be_unpacked() -> None:
    unpacked = b"".join(b"\x0d" + struct.pack("<f", number) for number in (1.5, -2.0))
    feature = b"\x12" + bytes([len(unpacked)]) + unpacked
    entry = b"\x0a\x01s\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    record = b"\x0a" + bytes([len(features)]) + features
    assert list(tf.train.Example.FromString(record).features.feature["s"].float_list.value) == [
        1.5,
        -2.0,
    ]
    assert list(tf_example_reader.values(tf_example_reader.parse(record)["s"])) == [1.5, -2.0]
