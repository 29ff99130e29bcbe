"""TFRecord files of tf.Examples or SequenceExamples, our own or another system's.

A row's line is the number of its record, from 1. The features of a SequenceExample are those of its
context and its feature lists: a list of bytes is tokens, one of numbers a sequence [time, dim].
Where both have a feature of one name, tokens and sequences are taken from the feature list, all
else from the context.

The whole file may be compressed by gzip or by zlib, TensorFlow's two ways. Files by zlib have no
suffix of their own, so they are known by their content.

Framing (tensorflow/core/lib/io/record_writer.h): length uint64, masked CRC32C of the length uint32,
the record, masked CRC32C of the record uint32, all little-endian. mask(crc) = rotate_right(crc, 15)
+ 0xa282ead8.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, BinaryIO

from seqline.errors import DataError, UserError
from seqline.rows.judge import decoded, judge, missing, refuse_doubled, require
from seqline.rows.row import BadRow, Row, RowFormat
from seqline.rows.shards import Shard
from seqline.storage import compression, files
from seqline.storage.compression import DamagedError
from seqline.storage.files import File

NAME = "tfrecord"
# There is no single suffix: a.tfrecord, a.tfrecords.gz, train.tfrecord-00000-of-00010, and our own
# and TFX's data_tfrecord-00000-of-00002.gz.
PATTERN: str | None = rf".*[._]tfrecords?(-\d+)*(-of-\d+)?({compression.SUFFIX}|\.(zlib|zz))"
SUFFIXES: tuple[str, ...] = (".tfrecord", ".tfrecords")
UNIT = "row"

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
# The first byte of a zlib stream as TensorFlow and zlib itself write it: deflate, 32 KiB window.
ZLIB_METHOD = 0x78
# A feature that none of so many first records has is a wrong name, not a missing value.
FIRST_RECORDS = 100
# Headers that are remembered, at most.
KNOWN_HEADERS = 10_000


def check(path: str, format_: RowFormat) -> bool:
    """See `Format.check`."""
    return _look_at_first(path, format_)


def cut(file: File, split: str | None, shard_bytes: int) -> list[Shard]:
    """No shards: records are found one after the other, from the start."""
    return []


def read(path: str, shard: Shard, format_: RowFormat) -> Iterator[Row | BadRow]:
    """The rows of a whole file."""
    from seqline.data.tf_example_reader import parse_with_lists

    judged = judge(format_)
    names = format_.columns
    texts = [name for name in format_.text if name in names]
    # Where the values of contents and of the label are.
    text_places = [names.index(name) for name in texts]
    label_place = names.index(format_.label) if format_.label in names else None
    value_of = [_reader(name, format_) for name in names]

    line = 0
    for record in records(path):
        line += 1
        if line == 1:
            _look_at_first(path, format_)

        try:
            features, lists = parse_with_lists(record)
            values = [read_value(features, lists) for read_value in value_of]
        except ValueError as error:
            yield BadRow(path, line, f"not a tf.Example: {error}", "format")
            continue

        if texts and all(values[place] is None for place in text_places):
            yield missing(texts[0], format_, path, line, "feature")
        elif label_place is not None and values[label_place] is None:
            yield missing(names[label_place], format_, path, line, "feature")
        else:
            yield judged([*map(decoded, values)], path, line)


def _reader(name: str, format_: RowFormat) -> Callable[[Any, Any], Any]:
    """The function that returns a column's value, None where it is missing or empty.

    It takes the features and the feature lists of a record.
    """
    from seqline.data.tf_example_reader import steps, value, values

    is_list = name in format_.text and format_.content != "text"

    # A map's missing entry reads as an empty feature.
    def read_value(features: Any, lists: Any) -> Any:
        if not lists or name not in lists or (name in features and not is_list):
            return value(features[name])
        held = steps(lists[name])
        return held if len(held) else None

    def read_list(features: Any, lists: Any) -> Any:
        in_lists = bool(lists) and name in lists
        held = steps(lists[name]) if in_lists else values(features[name])
        return held if len(held) else None

    return read_list if is_list else read_value


def raw_rows(path: str, format_: RowFormat) -> Iterator[dict[str, Any]]:
    """See `Format.raw_rows`."""
    from seqline.data.tf_example_reader import parse_with_lists, steps, value

    for record in records(path):
        try:
            features, lists = parse_with_lists(record)
            row = {name: _readable(value(features[name])) for name in sorted(features)}
            for name in sorted(set(lists) - set(row)):
                row[name] = _readable(steps(lists[name]))
        except ValueError:
            continue  # A run says what is wrong with it.
        yield row


def _readable(held: Any) -> Any:
    import numpy as np  # Here: `seqline plan` reads this module, and needs no NumPy.

    if isinstance(held, np.ndarray):
        held = held.tolist()
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
        _unzipped(files.open_content(path)) as file,
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


def _unzipped(file: BinaryIO) -> BinaryIO:
    """The content of a file that is compressed by zlib, or the file itself.

    The two bytes of zlib's header may begin a record's length, too. Its checksum tells.
    """
    buffered: Any = file  # `open_content` gives one with a buffer, which can look ahead.
    header = buffered.peek(12)[:12]
    is_zlib = len(header) > 1 and header[0] == ZLIB_METHOD and not int.from_bytes(header[:2]) % 31
    if not is_zlib or _is_header(header):
        return file
    return io.BufferedReader(_Inflated(file), files.READ_BYTES)


class _Inflated(io.RawIOBase):
    """The content of a zlib stream. A damage is raised after all that precedes it."""

    def __init__(self, zipped: BinaryIO) -> None:
        self.zipped = zipped
        self.inflate = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = b""
        while not content:
            if self.inflate.eof:
                left = self.inflate.unused_data or self.zipped.read(1)
                if not left:
                    return 0
                raise DamagedError("something follows the end of the zlib stream")

            given = self.inflate.unconsumed_tail or self.zipped.read(files.READ_BYTES)
            try:
                content = self.inflate.decompress(given, len(buffer))
            except zlib.error as error:
                raise DamagedError(str(error)) from error
            if not given and not content and not self.inflate.eof:
                raise DamagedError("the zlib stream ends too early")

        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self.zipped.close()
        super().close()


def _is_header(header: bytes) -> bool:
    """Whether these are a record's length and its checksum."""
    import google_crc32c

    return len(header) == HEADER.size and HEADER.unpack(header)[1] == _masked(
        google_crc32c.value(header[:8])
    )


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _size(header: bytes, path: str, number: int, place: int) -> int:
    """The size of the record after this header."""
    if len(header) < 12:
        raise _broken(path, number, place, "the file ends within the record's length")

    if _is_header(header):
        return int(HEADER.unpack(header)[0])

    cause = "the checksum of the record's length is wrong"
    if number == 0:
        cause = "this is not a TFRecord file"
    raise _broken(path, number, place, cause)


def _broken(path: str, number: int, place: int, cause: str) -> DataError:
    return files.damaged(path, f" in record {number + 1} (byte {place})", cause)


def _look_at_first(path: str, format_: RowFormat) -> bool:
    """Whether the file has a record.

    Raises:
        UserError: None of the first records has a feature that is asked for, or dim is missing.
    """
    from seqline.data.tf_example_reader import parse_with_lists

    names: set[str] = set()
    num_records = 0
    for record in islice(records(path), FIRST_RECORDS):
        num_records += 1
        try:
            features, lists = parse_with_lists(record)
        except ValueError:
            return True  # `read` reports it with its number.

        names.update(features, lists)
        if format_.content == "sequence" and format_.dim is None:
            _require_dim(features, lists, path, format_)
        if set(format_.columns) <= names:
            refuse_doubled(names, path, format_, "feature")
            return True

    if num_records:
        require(sorted(names), path, format_, "feature")
    return bool(num_records)


def _require_dim(features: Any, lists: Any, path: str, format_: RowFormat) -> None:
    """Refuses flat lists of numbers. A feature list says itself what a time step is."""
    for name in format_.text:
        if name in features and name not in lists:
            raise UserError(
                f"{path} holds flat lists of numbers: set {format_.section}.dim to how many are one"
                " time step."
            )
