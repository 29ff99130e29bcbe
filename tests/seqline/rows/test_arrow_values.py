from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import compute

from seqline.rows.arrow_values import sequences, values

LATIN_1 = b"caf\xe9"


def not_utf8(kind: pa.DataType) -> pa.Array:
    """[caf\\xe9, null, x] in an array of strings or bytes, as another program may write it."""
    is_large = kind in (pa.large_string(), pa.large_binary())
    is_view = kind in (pa.string_view(), pa.binary_view())
    as_bytes = pa.binary_view() if is_view else pa.large_binary() if is_large else pa.binary()
    array = pa.array([LATIN_1, None, b"x"], as_bytes)
    return pa.Array.from_buffers(kind, 3, array.buffers())


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
    ],
    ids=str,
)
def test_strings_that_are_not_utf8_are_lone_surrogates_wherever_they_are(
    kind: pa.DataType,
) -> None:
    array = not_utf8(kind)
    assert values(array) == ["caf\udce9", None, "x"]
    assert values(array[1:]) == [None, "x"]

    encoded = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 0], pa.int8()), array)
    assert values(encoded) == ["x", "caf\udce9", None, "caf\udce9"]
    # A dictionary that is longer than the array: only the entries in use are read.
    assert values(encoded[:2]) == ["x", "caf\udce9"]

    lists = pa.ListArray.from_arrays(pa.array([0, 2, 2, 3]), array)
    assert values(lists) == [["caf\udce9", None], [], ["x"]]
    structs = pa.StructArray.from_arrays(
        [array, pa.array([1, 2, 3])], names=["a", "b"], mask=pa.array([False, False, True])
    )
    assert values(structs) == [{"a": "caf\udce9", "b": 1}, {"a": None, "b": 2}, None]


@pytest.mark.parametrize(
    "list_of", [pa.list_, pa.large_list, pa.list_view, pa.large_list_view], ids=lambda f: f.__name__
)
def test_lists_of_every_kind(list_of: Any) -> None:
    array = pa.array([["a", "b"], None, [], ["c"]], list_of(pa.string()))
    assert values(array) == [["a", "b"], None, [], ["c"]]
    assert values(array[2:]) == [[], ["c"]]

    nested = pa.array([[[1, 2], [3, 4]], None, [], [[1], [2, 3]]], list_of(list_of(pa.float32())))
    rows = sequences(nested)
    assert rows[0].dtype == np.float32
    assert rows[0].tolist() == [[1, 2], [3, 4]]
    assert rows[1:] == [None, [], [[1], [2, 3]]]
    assert sequences(nested[3:]) == [[[1], [2, 3]]]


def test_maps_extension_types_and_run_ends() -> None:
    pairs = [[("a", 1)], None, [("b", None), ("c", 2)]]
    assert values(pa.array(pairs, pa.map_(pa.string(), pa.int32()))) == pairs
    assert values(compute.run_end_encode(pa.array(["a", "a", "b"]))) == ["a", "a", "b"]

    one = UUID(int=1)
    assert values(pa.array([one.bytes, None], pa.uuid())) == [str(one), None]
    assert values(pa.array([True, None]).cast(pa.bool8())) == [True, None]
    assert values(pa.array(["{}"], pa.json_())) == ["{}"]

    storage = pa.array([[1, 2, 3, 4]], pa.list_(pa.float32(), 4))
    tensors = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float32(), (2, 2)), storage)
    assert [row.tolist() for row in sequences(tensors)] == [[[1, 2], [3, 4]]]


def test_numbers_stay_as_they_are() -> None:
    assert values(pa.array([1.0, None, 0.5], pa.float32())) == [1.0, None, 0.5]
    assert values(pa.array([2**63, None], pa.uint64())) == [2**63, None]
    assert values(pa.array([Decimal("1.50"), None])) == [Decimal("1.50"), None]
    assert values(pa.nulls(2)) == [None, None]


def test_times_that_python_holds_are_as_python_writes_them() -> None:
    array = pa.array([0, 1_593_561_600_500, None], pa.timestamp("ms"))
    assert values(array) == [str(value) if value else None for value in array.to_pylist()]
    assert values(array) == ["1970-01-01 00:00:00", "2020-07-01 00:00:00.500000", None]

    assert values(array.cast(pa.timestamp("ms", "UTC")))[1] == "2020-07-01 00:00:00.500000+00:00"
    in_berlin = values(array.cast(pa.timestamp("ms", "Europe/Berlin")))
    assert in_berlin[1] == "2020-07-01 02:00:00.500000+02:00"
    assert values(pa.array([date(2020, 7, 1)])) == ["2020-07-01"]
    assert values(pa.array([1500], pa.time32("ms"))) == ["00:00:01.500000"]
    assert values(pa.array([timedelta(days=1, seconds=5)])) == ["1 day, 0:00:05"]


def test_times_that_python_does_not_hold() -> None:
    # 10 million days are 27,379 years of 365.2425 days: 1970 + 27,379 = 29,349.
    assert values(pa.array([10_000_000], pa.int32()).cast(pa.date32())) == ["29349-01-26"]
    assert values(pa.array([1], pa.timestamp("ns"))) == ["1970-01-01 00:00:00.000000001"]
    assert values(pa.array([1], pa.time64("ns"))) == ["00:00:00.000000001"]
    assert values(pa.array([1, 1000], pa.duration("ns"))) == ["1 ns", "0:00:00.000001"]
    assert values(pa.array([10**14], pa.duration("s"))) == ["100000000000000 s"]
    # Arrow's own words for a year beyond 32,767 would lose the value.
    assert values(pa.array([10**12], pa.timestamp("s"))) == ["1000000000000 s since 1970"]
    # A time zone of another machine.
    assert values(pa.array([0], pa.int64()).cast(pa.timestamp("s", "No/Zone"))) == [
        "1970-01-01 00:00:00+00:00"
    ]


def test_a_struct_with_two_fields_of_one_name_cannot_be_a_value() -> None:
    array = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(ValueError, match="two fields of one name among 'a', 'a'"):
        values(array)
