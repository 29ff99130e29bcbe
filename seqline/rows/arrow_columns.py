"""Columns of Arrow's tables, as Parquet and Arrow files hold them: found by name, read as rows.

A name is that of a column, or the path to a field of a struct, as in `review.text`. Where both
exist the column is meant. Integers of a class label of Hugging Face's `datasets` are read as the
names of their classes, which `datasets` writes into the schema of both kinds of files.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from seqline.errors import DataError, UserError
from seqline.rows import arrow_values
from seqline.rows.judge import require
from seqline.rows.row import RowFormat
from seqline.storage import files

if TYPE_CHECKING:
    import pyarrow as pa

# Rows that are read at once, and their bytes, about.
BATCH_ROWS = 1024
BATCH_BYTES = 64 << 20
# The key of the schema's metadata, and the integer that marks a row without a label.
HUGGING_FACE = b"huggingface"
NO_CLASS = -1

# The names of a column and of the fields within it.
Path = tuple[str, ...]


class Column(NamedTuple):
    """A column, or a field of a struct.

    Attributes:
        name: Its name, as it is asked for.
        path: Where it is.
        type: Its type.
        classes: The names of its integers, if it is a class label.
        is_sequence: Whether it is read as numbers.
        is_name: Whether it is a label or the name of a split, so that a decimal is an integer.
    """

    name: str
    path: Path
    type: "pa.DataType"
    classes: tuple[str, ...] = ()
    is_sequence: bool = False
    is_name: bool = False


def find(schema: "pa.Schema", file: str, format_: RowFormat) -> list[Column]:
    """The columns of a file that are read, in the order of `RowFormat.columns`.

    Raises:
        UserError: One is missing, there are two of its name, or it is a struct where a content or a
            label is asked for.
    """
    fields = fields_of(schema)
    for field, name in _single_values(format_):
        if name in format_.columns and name in fields and is_struct(fields[name][0][1]):
            inner = [other for other in fields if other.startswith(f"{name}.")]
            raise UserError(
                f"{file}: the column {name!r} ({format_.section}.{field}) has fields of its own."
                f" Set {format_.section}.{field} to one of them: {', '.join(map(repr, inner))}."
            )

    require(list(fields), file, format_)
    return [_column(name, fields[name], schema, file, format_) for name in format_.columns]


def fields_of(schema: "pa.Schema") -> dict[str, list[tuple[Path, "pa.DataType"]]]:
    """Name of a column or a field -> where it is, and its type: several if they share the name.

    The columns come first: one named `a.b` hides the field `b` of `a`.
    """
    found: dict[str, list[tuple[Path, pa.DataType]]] = {}
    level: list[tuple[Path, pa.DataType]] = [((field.name,), field.type) for field in schema]

    while level:
        deeper = []
        names: dict[str, list[tuple[Path, pa.DataType]]] = {}
        for path, kind in level:
            names.setdefault(".".join(path), []).append((path, kind))
            if is_struct(kind):
                deeper += [((*path, field.name), field.type) for field in kind]
        # The shallower one hides the deeper one.
        found |= {name: places for name, places in names.items() if name not in found}
        level = deeper
    return found


def _single_values(format_: RowFormat) -> Iterator[tuple[str, str]]:
    """(the setting, the column) of what has to be one value."""
    for name in format_.text:
        yield "text", name
    single = (("label", format_.label), ("split", format_.split), ("weight", format_.weight))
    for field, column in single:
        if column is not None:
            yield field, column


def is_struct(kind: "pa.DataType") -> bool:
    """Whether a value has fields of its own."""
    from pyarrow import types

    return bool(types.is_struct(kind))


def _column(
    name: str,
    candidates: list[tuple[Path, "pa.DataType"]],
    schema: "pa.Schema",
    file: str,
    format_: RowFormat,
) -> Column:
    if len(candidates) > 1:
        raise UserError(
            f"{file} has {len(candidates)} columns {name!r}; rename all but the one that is meant."
        )

    path, kind = candidates[0]
    is_content = name in format_.text
    return Column(
        name,
        path,
        kind,
        _classes(schema, path),
        is_sequence=is_content and format_.content == "sequence",
        is_name=name in (format_.label, format_.split),
    )


def _classes(schema: "pa.Schema", path: Path) -> tuple[str, ...]:
    """The names of a class label's integers; () for a column of another kind."""
    try:
        feature = json.loads((schema.metadata or {})[HUGGING_FACE])["info"]["features"]
        for name in path:
            feature = feature[name]
        is_class = feature["_type"] == "ClassLabel"
        return tuple(map(str, feature["names"])) if is_class else ()
    except (KeyError, TypeError, ValueError, RecursionError):
        return ()


def batch_rows(num_rows: int, num_bytes: int) -> int:
    """How many rows to read at once from a file with this many rows and bytes."""
    return max(1, min(BATCH_ROWS, BATCH_BYTES * num_rows // max(1, num_bytes)))


def rows(batch: "pa.RecordBatch", columns: Sequence[Column], file: str) -> Iterable[Sequence[Any]]:
    """The rows of a batch: a value for each column.

    Raises:
        UserError: Nothing can hold the values of a column.
        DataError: A class label is not one of its classes.
    """
    if not columns:  # All of them are in the path.
        return [()] * batch.num_rows
    return zip(*(_values(batch, column, file) for column in columns), strict=True)


def _values(batch: "pa.RecordBatch", column: Column, file: str) -> list[Any]:
    import pyarrow as pa
    from pyarrow import compute

    array = batch.column(batch.schema.get_field_index(column.path[0]))
    for name in column.path[1:]:
        array = compute.struct_field(array, [name])

    try:
        if column.is_sequence:
            return arrow_values.sequences(array)
        values = arrow_values.values(array)
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        cause = _first_line(error).rstrip(".")
        raise UserError(
            f"{file}: the column {column.name!r} of the type {column.type} cannot be read: {cause}."
            " Write it as strings or numbers, or name another column."
        ) from error

    if column.classes:
        return [_class(value, column, file) for value in values]
    if column.is_name:
        return [int(value) if _is_whole(value) else value for value in values]
    return values


def _class(value: Any, column: Column, file: str) -> Any:
    """The name of a class. None for a row without a label."""
    if not isinstance(value, int) or value == NO_CLASS:
        return None if value == NO_CLASS else value
    if 0 <= value < len(column.classes):
        return column.classes[value]
    raise DataError(
        f"{file}: the class label {column.name!r} holds {value} and names"
        f" {len(column.classes)} classes, from 0. Write the file again with the names of all."
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, Decimal) and value == value.to_integral_value()


def raw_rows(batch: "pa.RecordBatch", file: str) -> list[dict[str, Any]]:
    """The rows of a batch by the names of the columns, with the fields of structs as columns.

    Columns that share a name are left out: they cannot be read.
    """
    columns = [
        Column(name, places[0][0], places[0][1], _classes(batch.schema, places[0][0]))
        for name, places in fields_of(batch.schema).items()
        if len(places) == 1 and not is_struct(places[0][1])
    ]
    names = [column.name for column in columns]
    return [dict(zip(names, row, strict=True)) for row in rows(batch, columns, file)]


@contextmanager
def translate_errors(path: str, place: Callable[[], str]) -> Iterator[None]:
    """Turns errors of Arrow about a file's bytes into a DataError of one line.

    Args:
        path: The file.
        place: Says how far the reading got, such as ` after row 9`.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise files.damaged(path, place(), _first_line(error)) from error
    except MemoryError as error:
        raise files.damaged(path, place(), "a length in it is more than memory holds") from error
    except OSError as error:
        # Arrow raises it about bytes, too; the operating system's has a number.
        if error.errno is not None or files.is_remote(path):
            raise
        if "decrypt" in str(error) or "encrypt" in str(error):
            raise DataError(f"{path} is encrypted. Write it again without encryption.") from error
        raise files.damaged(path, place(), _first_line(error)) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
