"""Our bytes are protobuf's."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from seqline.data import tf_example_writer

ROWS = st.lists(
    st.tuples(
        st.binary(max_size=300),
        st.lists(st.binary(max_size=20), max_size=4),
        st.lists(st.floats(width=32, allow_nan=False), max_size=5),
        st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 300), max_size=40),
        st.integers(0, 2**63 - 1),
    ),
    min_size=1,
    max_size=5,
)


@given(ROWS)
def test_the_bytes_are_protobufs(rows: list[tuple]) -> None:
    texts, tokens, floats, ints, numbers = zip(*rows, strict=True)
    ours = tf_example_writer.examples(
        [
            tf_example_writer.float_lists(
                "floats",
                np.array([x for row in floats for x in row], np.float32),
                np.array([len(row) for row in floats]),
            ),
            tf_example_writer.int_lists(
                "ids",
                np.array([x for row in ints for x in row], np.int64),
                np.array([len(row) for row in ints]),
            ),
            tf_example_writer.few_int_features("label", np.array(numbers, np.int64)),
            tf_example_writer.few_bytes_features("name", texts),
            tf_example_writer.bytes_features("text", texts),
            tf_example_writer.bytes_lists("tokens", tokens),
        ]
    )

    for serialized, (text, some, values, ids, number) in zip(ours, rows, strict=True):
        example = tf.train.Example()
        feature = example.features.feature
        feature["text"].bytes_list.value.append(text)
        feature["name"].bytes_list.value.append(text)
        feature["tokens"].bytes_list.value.extend(some)
        feature["floats"].float_list.value.extend(values)
        feature["ids"].int64_list.value.extend(ids)
        feature["label"].int64_list.value.append(number)

        for name, kind in (
            ("tokens", "bytes_list"),
            ("floats", "float_list"),
            ("ids", "int64_list"),
        ):
            getattr(feature[name], kind).SetInParent()

        assert serialized == example.SerializeToString(deterministic=True)


@pytest.mark.parametrize("size", [127, 128, 16383, 16384, 2**21, 2**21 + 1])
def test_lengths_of_any_size(size: int) -> None:
    [serialized] = tf_example_writer.examples(
        [tf_example_writer.bytes_features("text", [b"x" * size])]
    )
    assert (
        tf.train.Example.FromString(serialized).features.feature["text"].bytes_list.value[0]
        == b"x" * size
    )
