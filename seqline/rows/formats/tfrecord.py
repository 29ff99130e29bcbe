"""TFRecord files of tf.Examples, our own or another system's.

A row's line is the number of its record, from 1.

Framing (tensorflow/core/lib/io/record_writer.h): length uint64, masked CRC32C of the length uint32,
the record, masked CRC32C of the record uint32, all little-endian. mask(crc) = rotate_right(crc, 15)
+ 0xa282ead8.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any

from seqline.errors import DataError, UserError
from seqline.rows.judge import decoded, judge, missing, require
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage import files
from seqline.storage.files import File

NAME = "tfrecord"
# There is no single suffix: a.tfrecord, a.tfrecords.gz, train.tfrecord-00000-of-00010, and our own
# and TFX's data_tfrecord-00000-of-00002.gz.
PATTERN: str | None = r".*[._]tfrecords?(-\d+)*(-of-\d+)?(\.gz)?"
SUFFIXES: tuple[str, ...] = (".tfrecord", ".tfrecords")
UNIT = "row"

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
# A feature that none of so many first records has is a wrong name, not a missing value.
FIRST_RECORDS = 100
# Headers that are remembered, at most.
KNOWN_HEADERS = 10_000


def check(path: str, format_: RowFormat) -> bool:
    """See `Format.check`."""
    if format_.content == "sequence" and format_.dim is None:
        raise UserError(
            f"{path} holds flat lists of numbers: set {format_.section}.dim to how many are one"
            " time step."
        )
    return _require_features(path, format_)


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """No shards: records are found one after the other, from the start."""
    return []


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a whole file."""
    from seqline.data.tf_example_reader import parse, value

    judged = judge(format_)
    read_content = value if format_.content == "text" else _values_or_none

    line = 0
    for record in records(path):
        line += 1
        if line == 1:
            _require_features(path, format_)

        try:
            features = parse(record)
            # A map's missing entry reads as an empty feature.
            values = [
                (read_content if name in format_.text else value)(features[name])
                for name in format_.columns
            ]
        except ValueError as error:
            yield BadRow(path, line, f"not a tf.Example: {error}", "format")
            continue

        by_name = dict(zip(format_.columns, values, strict=True))
        texts = [name for name in format_.text if name in by_name]
        if texts and all(by_name[name] is None for name in texts):
            yield missing(texts[0], format_, path, line, "feature")
        elif format_.label in by_name and by_name[format_.label] is None:
            yield missing(format_.label, format_, path, line, "feature")
        else:
            yield judged([*map(decoded, values)], path, line)


def _values_or_none(feature: Any) -> Any:
    from seqline.data.tf_example_reader import values

    held = values(feature)
    return held if len(held) else None


def first_rows(path: str, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """See `Format.first_rows`."""
    from seqline.data.tf_example_reader import parse, value

    left = records(path)
    rows = []
    for record in islice(left, limit):
        features = parse(record)
        rows.append({name: _readable(value(features[name])) for name in sorted(features)})
    return rows, next(left, None) is None


def _readable(held: Any) -> Any:
    if isinstance(held, list):
        return [_readable(element) for element in held]
    return held.decode("utf-8", "replace") if isinstance(held, bytes) else held


def records(path: str) -> Iterator[bytes]:
    """The records of a TFRecord file.

    Raises:
        DataError: A record is damaged. The message has its number and its byte, which for a .gz
            file is a byte of the unzipped content.
    """
    import google_crc32c

    crc32c = google_crc32c.value
    number = place = 0

    # Headers that proved right -> the size that they say: short records have few sizes.
    sizes: dict[bytes, int] = {}
    with (
        files.translate_errors(path, lambda: f" in record {number + 1} (byte {place})"),
        files.open_content(path) as file,
    ):
        while header := file.read(12):
            size = sizes.get(header)
            if size is None:
                size = sizes[header] = _size(header, path, number, place)
                if len(sizes) > KNOWN_HEADERS:
                    sizes.clear()

            record = file.read(size)
            footer = file.read(4)
            if len(record) < size or len(footer) < 4:
                num_read = len(record) + len(footer)
                cause = f"the file ends after {num_read} of the record's {size + 4} bytes"
                raise _broken(path, number, place, cause)
            if footer != FOOTER.pack(_masked(crc32c(record))):
                raise _broken(path, number, place, "the record's checksum is wrong")

            yield record
            number += 1
            place += size + 16


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _size(header: bytes, path: str, number: int, place: int) -> int:
    """The size of the record after this header."""
    import google_crc32c

    if len(header) < 12:
        raise _broken(path, number, place, "the file ends within the record's length")

    size, expected = HEADER.unpack(header)
    if expected == _masked(google_crc32c.value(header[:8])):
        return int(size)

    cause = "the checksum of the record's length is wrong"
    if number == 0:
        cause = "this is not a TFRecord file"
    raise _broken(path, number, place, cause)


def _broken(path: str, number: int, place: int, cause: str) -> DataError:
    return files.damaged(path, f" in record {number + 1} (byte {place})", cause)


def _require_features(path: str, format_: RowFormat) -> bool:
    """Whether the file has a record.

    Raises:
        UserError: None of the first records has a feature that is asked for.
    """
    from seqline.data.tf_example_reader import parse

    names: set[str] = set()
    num_records = 0
    for record in islice(records(path), FIRST_RECORDS):
        num_records += 1
        try:
            names.update(parse(record))
        except ValueError:
            return True  # `read` reports it with its number.
        if set(format_.columns) <= names:
            return True

    if num_records:
        require(sorted(names), path, format_, "feature")
    return bool(num_records)
