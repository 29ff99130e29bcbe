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

import google_crc32c

from seqline.data.tf_example_reader import parse, value, values
from seqline.errors import DataError, UserError
from seqline.rows.judge import decoded, judge, missing, require
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage import files

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
# A feature that none of so many first records has is a wrong name, not a missing value.
FIRST_RECORDS = 100


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a whole file."""
    judged = judge(format_)
    read_content = value if format_.content == "text" else _values_or_none
    line = 0
    for record in records(path):
        line += 1
        if line == 1:
            _require_features(path, format_)
        try:
            features = parse(record)
            # A feature that is not there is an empty one.
            content, *others = (
                read_content(features[format_.text]),
                *(value(features[name]) for name in format_.columns[1:]),
            )
        except ValueError as error:
            yield BadRow(path, line, f"not a tf.Example: {error}", "format")
            continue
        if content is None:
            yield missing(format_.text, format_, path, line, "feature")
        elif format_.label is not None and others[0] is None:
            yield missing(format_.label, format_, path, line, "feature")
        else:
            yield judged([decoded(content), *map(decoded, others)], path, line)


def _values_or_none(feature: Any) -> Any:
    found = values(feature)
    return found if len(found) else None


def records(path: str) -> Iterator[bytes]:
    """The records of a TFRecord file.

    Raises DataError that names the record and its byte, in the unzipped content of a .gz file.
    """
    number = place = 0
    crc32c = google_crc32c.value
    sizes: dict[
        bytes, int
    ] = {}  # headers that were found to be right: short records have few different lengths
    with (
        files.translate_errors(path, lambda: f" in record {number + 1} (byte {place})"),
        files.open_content(path) as file,
    ):
        while header := file.read(12):
            size = sizes.get(header)
            if size is None:
                size = sizes[header] = _size(header, path, number, place)
                if len(sizes) > 10_000:
                    sizes.clear()
            record = file.read(size)
            footer = file.read(4)
            if len(record) < size or len(footer) < 4:
                raise _broken(
                    path,
                    number,
                    place,
                    f"the file ends after {len(record) + len(footer)} of the record's {size + 4}"
                    " bytes",
                )
            crc = crc32c(record)
            if footer != FOOTER.pack(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF):
                raise _broken(path, number, place, "the record's checksum is wrong")
            yield record
            number += 1
            place += size + 16


def _size(header: bytes, path: str, number: int, place: int) -> int:
    if len(header) < 12:
        raise _broken(path, number, place, "the file ends within the record's length")
    size, expected = HEADER.unpack(header)
    crc = google_crc32c.value(header[:8])
    if expected != ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF:
        what = (
            "this is no TFRecord file"
            if number == 0
            else "the checksum of the record's length is wrong"
        )
        hint = (
            "; it is gzipped, so its name must end in .gz"
            if number == 0 and header.startswith(files.GZIP_MAGIC)
            else ""
        )
        raise _broken(path, number, place, what + hint)
    return int(size)


def _broken(path: str, number: int, place: int, cause: str) -> DataError:
    return files.damaged(path, f" in record {number + 1} (byte {place})", cause)


def check(path: str, format_: RowFormat) -> None:
    """See `read.check`."""
    if format_.content == "sequence" and format_.dim is None:
        raise UserError(
            f"{path} holds flat lists of numbers: set {format_.section}.dim to how many are one"
            " time step."
        )
    if not _require_features(path, format_):
        raise DataError(f"{path} holds no record.")


def _require_features(path: str, format_: RowFormat) -> bool:
    """Raises UserError for a feature that no first record has. Says whether there is a record."""
    found: set[str] = set()
    count = 0
    for record in islice(records(path), FIRST_RECORDS):
        count += 1
        try:
            found.update(parse(record))
        except ValueError:
            return True  # reading will report it with its number
        if set(format_.columns) <= found:
            return True
    if count:
        require(sorted(found), path, format_, "feature")
    return bool(count)
