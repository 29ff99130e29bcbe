"""Arrow's arrays as Python values, without loss, whatever their types.

Arrow does not check that strings are UTF-8: other bytes become lone surrogates, which `judge`
reports. Dates and times are strings, as Python writes them: Arrow knows years beyond 9999 and
nanoseconds, which Python's types cannot hold.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# A time as Arrow writes it: up to its seconds, their fraction, the time zone.
TIME = re.compile(r"(.*:\d\d)(?:\.(\d+))?(Z|[+-]\d{4})?")
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}


def values(array: "pa.Array") -> list[Any]:
    """The values of an array; None for null.

    Raises:
        pa.ArrowException, ValueError: Nothing can hold such values.
    """
    import pyarrow as pa
    from pyarrow import types

    kind = array.type
    if types.is_dictionary(kind):
        return _of_dictionary(array)
    if isinstance(kind, pa.BaseExtensionType):
        is_known = isinstance(kind, pa.UuidType | pa.Bool8Type)
        return _as_strings(array.to_pylist()) if is_known else values(array.storage)
    if types.is_run_end_encoded(kind):
        from pyarrow import compute

        return values(compute.run_end_decode(array))

    if _is_bytes(kind):
        return _strings(array)
    if types.is_map(kind):
        return _of_list(array.cast(pa.list_(pa.struct([kind.key_field, kind.item_field]))), tuple)
    if is_list(kind):
        return _of_list(array)
    if types.is_struct(kind):
        return _of_struct(array)
    if types.is_temporal(kind) and not types.is_interval(kind):
        return _of_times(array)

    held: list[Any] = array.to_pylist()
    return held


def is_list(kind: "pa.DataType") -> bool:
    """Whether a value is a list of values of one type."""
    from pyarrow import types

    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _is_bytes(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _strings(array: "pa.Array") -> list[str | None]:
    import pyarrow as pa
    from pyarrow import types

    kind = array.type
    if types.is_string(kind) or types.is_large_string(kind):
        try:
            decoded: list[str | None] = array.to_numpy(zero_copy_only=False).tolist()
            return decoded
        except (pa.ArrowException, UnicodeDecodeError):
            pass  # Not all are UTF-8.

    as_bytes = array if types.is_fixed_size_binary(kind) else array.cast(pa.large_binary())
    return [
        None if value is None else value.decode("utf-8", "surrogateescape")
        for value in as_bytes.to_numpy(zero_copy_only=False).tolist()
    ]


def _of_dictionary(array: "pa.DictionaryArray") -> list[Any]:
    """Each entry becomes a Python object once, unless most of them are not used."""
    dictionary, indices = array.dictionary, array.indices
    if len(dictionary) > len(array):
        used = indices.drop_null().unique()
        places = {index: place for place, index in enumerate(used.to_pylist())}
        entries = values(_taken(dictionary, used))
    else:
        places = {}
        entries = values(dictionary)

    return [
        None if index is None else entries[places.get(index, index)]
        for index in indices.to_pylist()
    ]


def _taken(array: "pa.Array", indices: "pa.Array") -> "pa.Array":
    """Some values of an array. Arrow cannot take them from views."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_string_view(array.type) or types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
    return array.take(indices)


def _of_list(array: "pa.Array", make: Any = None) -> list[Any]:
    """Lists. `make` makes another collection of each struct's values, as for the pairs of a map."""
    from pyarrow import compute

    lengths = compute.list_value_length(array).to_pylist()
    elements = values(array.flatten())
    if make is not None:
        elements = [make(element.values()) for element in elements]

    lists: list[Any] = []
    place = 0
    for length in lengths:
        lists.append(None if length is None else elements[place : place + length])
        place += length or 0
    return lists


def _of_struct(array: "pa.StructArray") -> list[Any]:
    names = [field.name for field in array.type]
    if len(set(names)) < len(names):
        raise ValueError(f"it has two fields of one name among {', '.join(map(repr, names))}")

    # `flatten` makes the fields of a null struct null.
    fields = [values(field) for field in array.flatten()]
    is_there = array.is_valid().to_pylist()
    rows: Iterable[tuple[Any, ...]] = zip(*fields, strict=True) if fields else [()] * len(array)
    return [
        dict(zip(names, row, strict=True)) if valid else None
        for row, valid in zip(rows, is_there, strict=True)
    ]


def _as_strings(held: list[Any]) -> list[Any]:
    """Python's objects of extension types as strings, but for booleans."""
    return [value if value is None or isinstance(value, bool) else str(value) for value in held]


def _of_times(array: "pa.Array") -> list[Any]:
    """Dates, times and durations as `str` of Python's objects, where these can hold them."""
    import pyarrow as pa
    from pyarrow import types

    kind = array.type
    if types.is_duration(kind):
        return [None if n is None else _duration(n, kind.unit) for n in _integers(array)]

    try:
        written = array.cast(pa.string()).to_pylist()
    except pa.ArrowInvalid:  # A time zone that this machine does not know.
        kind = pa.timestamp(kind.unit, "UTC")
        written = array.cast(kind).cast(pa.string()).to_pylist()

    unit = "days" if types.is_date32(kind) else "ms" if types.is_date64(kind) else kind.unit
    return [
        f"{number} {unit} since 1970" if text is not None and text.startswith("<") else _time(text)
        for text, number in zip(written, _integers(array), strict=True)
    ]


def _integers(array: "pa.Array") -> list[int | None]:
    import pyarrow as pa

    is_short = array.type.bit_width == 32
    integers: list[int | None] = array.view(pa.int32() if is_short else pa.int64()).to_pylist()
    return integers


def _duration(number: int, unit: str) -> str:
    """`1 day, 3:46:40`; `1 ns` where Python's timedelta cannot hold it."""
    microseconds, rest = divmod(number * NANOSECONDS[unit], 1000)
    try:
        return f"{number} {unit}" if rest else str(timedelta(microseconds=microseconds))
    except OverflowError:
        return f"{number} {unit}"


def _time(text: str | None) -> str | None:
    """`12:00:00.500+0100` of Arrow as `12:00:00.500000+01:00`; a date as it is."""
    match = TIME.fullmatch(text) if text is not None else None
    if match is None:
        return text

    seconds, fraction, zone = match.groups()
    digits = (fraction or "").rstrip("0")
    if digits:
        digits = "." + digits.ljust(6 if len(digits) <= 6 else 9, "0")
    if zone is not None:
        zone = "+00:00" if zone == "Z" else f"{zone[:3]}:{zone[3:]}"
    return f"{seconds}{digits}{zone or ''}"


# Sequences


def sequences(array: "pa.Array") -> list[Any]:
    """Rows of numbers as arrays [time, dim], or [n] where they are flat; other rows as values.

    No number becomes a Python object.
    """
    import pyarrow as pa

    kind = array.type
    if isinstance(kind, pa.FixedShapeTensorType) and not array.null_count:
        return list(array.to_numpy_ndarray())
    if isinstance(kind, pa.BaseExtensionType):
        return sequences(array.storage)
    if not is_list(kind):
        return values(array)

    steps = array.flatten()
    if isinstance(steps.type, pa.BaseExtensionType):
        steps = steps.storage
    is_flat = _is_number(steps.type)
    is_nested = is_list(steps.type) and _is_number(steps.type.value_type)
    if steps.null_count or not (is_flat or is_nested):
        return values(array)

    numbers = steps if is_flat else steps.flatten()
    if numbers.null_count:
        return values(array)
    return _cut(array, steps, numbers.to_numpy(zero_copy_only=False))


def _cut(array: "pa.Array", steps: "pa.Array", numbers: "np.ndarray") -> list[Any]:
    """The numbers of each row. Rows whose steps differ in length are lists of arrays."""
    # Here: `seqline plan` reads this module for its formats, and needs no NumPy.
    import numpy as np
    from pyarrow import compute

    lengths = compute.list_value_length(array).to_pylist()
    ends = np.cumsum([length or 0 for length in lengths]).tolist()
    if _is_number(steps.type):
        return [
            None if length is None else numbers[end - length : end]
            for length, end in zip(lengths, ends, strict=True)
        ]

    widths = compute.list_value_length(steps).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(widths)])
    rows: list[Any] = []
    for length, end in zip(lengths, ends, strict=True):
        if length is None:
            rows.append(None)
            continue

        first = end - length
        row = numbers[starts[first] : starts[end]]
        row_widths = widths[first:end]
        if len(row) and (row_widths == row_widths[0]).all():
            rows.append(row.reshape(length, -1))
        else:
            bounds = zip(starts[first:end], starts[first + 1 : end + 1], strict=True)
            rows.append([numbers[start:stop].tolist() for start, stop in bounds])
    return rows


def _is_number(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind))
