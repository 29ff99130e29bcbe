"""Decompresses files by what they hold, whatever their names say.

gzip, bzip2, xz, Zstandard, and zip archives of one file. What cannot be read as rows (an archive of
several files, an Excel workbook) is refused by name, with a way out.
"""

import bz2
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from seqline.errors import UserError

# The end of a name, as a regular expression, where files may be compressed.
SUFFIX = r"(\.(gz|gzip|bz2|xz|zst|zstd|zip))?"

GZIP = b"\x1f\x8b\x08"
BZIP2 = b"BZh"
XZ = b"\xfd7zXZ\x00"
ZSTD = b"\x28\xb5\x2f\xfd"
# A frame to be passed over, with which files of several threads (pzstd) begin: 0x184D2A50 to 5F.
ZSTD_SKIPPED = b"\x2a\x4d\x18"
ZIP = b"PK\x03\x04"
EMPTY_ZIP = b"PK\x05\x06"

# Beginnings of files of other kinds -> their name, and what to do with them.
OTHERS = {
    b"\x1f\x9d": ("compressed by `compress` (.Z)", "Unpack it with uncompress."),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "Unpack it."),
    b"Rar!\x1a\x07": ("a RAR archive", "Unpack it."),
    b"LZIP\x01": ("compressed by lzip", "Unpack it, or compress it with gzip, xz or zstd."),
    b"\x04\x22\x4d\x18": ("compressed by lz4", "Unpack it, or compress it with gzip or zstd."),
    b"\xff\x06\x00\x00sNaPpY": ("compressed by Snappy", "Unpack it, or compress it with zstd."),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an Excel workbook", "Save it as CSV UTF-8."),
    b"%PDF-": ("a PDF document", "Convert it to text."),
    b"SQLite format 3\x00": ("an SQLite database", "Write its table as CSV: sqlite3 -header -csv."),
    b"PAR1\x15": ("a Parquet file", "Name it .parquet."),
    b"ARROW1\x00": ("an Arrow file", "Name it .arrow."),
    b"Obj\x01": ("an Avro file", "Convert it to Parquet or JSONL."),
    b"version https://git-lfs.github.com/spec/": (
        "a pointer of Git LFS, not the file itself",
        "Fetch the file: git lfs pull.",
    ),
    b"<!doctype html": ("an HTML page", "Download the file again: a page came in its place."),
    b"<html": ("an HTML page", "Download the file again: a page came in its place."),
}
# Where the mark of a tar archive is, and the mark.
TAR_PLACE = 257
TAR = b"ustar"
# Bytes at the beginning of a file that tell its kind.
HEAD_BYTES = TAR_PLACE + len(TAR)

# Compressed bytes that are read at once. Zstandard says all that they hold at once.
READ_BYTES = 1 << 16
ZSTD_READ_BYTES = 1 << 14
# Decompressed bytes that are made at once, at most.
BLOCK_BYTES = 1 << 18
BUFFER_BYTES = 1 << 20


class DamagedError(Exception):
    """Compressed data that are damaged, or end too early."""


def is_compressed(head: bytes) -> bool:
    """Whether a file that begins with these bytes (12 at least) is compressed."""
    return _decoder_of(head) is not None or head.startswith((ZIP, EMPTY_ZIP))


def opened(file: BinaryIO, path: str) -> BinaryIO:
    """The content of a file, decompressed if need be; it is seekable only if it need not be.

    All that precedes a damage is read before DamagedError is raised.

    Args:
        file: The file, opened as a `BufferedReader`, at its start.
        path: Its path, for messages.

    Raises:
        UserError: The file is of a kind that holds no rows, such as an archive of several files.
        DamagedError: Its very beginning is damaged.
    """
    head = _head(file)
    if _is_tfrecord(head):
        return file
    if head.startswith((ZIP, EMPTY_ZIP)):
        content = _buffered(file, _unzip(file, path))
    elif (make_decoder := _decoder_of(head)) is not None:
        content = _buffered(file, _decompress(file, make_decoder))
    else:
        refuse_others(head, path)
        return file

    head = _head(content)
    if is_compressed(head) and not _is_tfrecord(head):
        raise UserError(f"{path} is compressed twice. Unpack it once.")
    refuse_others(head, path)
    return content


def _head(file: Any) -> bytes:
    return bytes(file.peek(HEAD_BYTES)[:HEAD_BYTES])


def _is_tfrecord(head: bytes) -> bool:
    """Whether a file begins with the length of a record and its checksum, as TFRecords do.

    A length may look like a mark: a first record of 559,903 bytes begins as gzip does.
    """
    if len(head) < 12 or head[7]:
        return False

    import google_crc32c

    crc = google_crc32c.value(head[:8])
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return head[8:12] == struct.pack("<I", masked)


def check_packed(file: Any, path: str) -> None:
    """Refuses what is compressed, or of another known kind, in the place of a binary table.

    Args:
        file: The file at its start, where it is again afterwards.
        path: Its path, for messages.

    Raises:
        UserError: It is such a file.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if is_compressed(head):
        raise UserError(f"{path} is compressed as a whole, which such tables never are. Unpack it.")
    refuse_others(head, path)


def refuse_others(head: bytes, path: str) -> None:
    """Raises UserError where a file is of a known kind that holds no rows."""
    for mark, (kind, way_out) in OTHERS.items():
        if head[: len(mark)].lower() == mark.lower():
            raise UserError(f"{path} is {kind}. {way_out}")
    if head[TAR_PLACE:].startswith(TAR):
        raise UserError(f"{path} is a tar archive. Unpack it with tar, and name its files.")


def _decoder_of(head: bytes) -> Callable[[], Any] | None:
    """The maker of the decoder for what begins so; None for what is not compressed."""
    if head.startswith(GZIP):
        return _Gzip
    if head.startswith(BZIP2) and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return bz2.BZ2Decompressor
    if head.startswith(XZ):
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ)
    is_skipped = head[1:4] == ZSTD_SKIPPED and 0x50 <= head[0] <= 0x5F
    return _Zstd if head.startswith(ZSTD) or is_skipped else None


class _Gzip:
    """zlib's decoder of gzip, with the face of bz2's and lzma's."""

    def __init__(self) -> None:
        self.decoder = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self.decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self.decoder.unused_data

    @property
    def needs_input(self) -> bool:
        return not self.decoder.unconsumed_tail

    def decompress(self, content: bytes, max_length: int) -> bytes:
        return self.decoder.decompress(self.decoder.unconsumed_tail + content, max_length)


class _Zstd:
    """zstandard's decoder, with the face of bz2's and lzma's."""

    needs_input = True

    def __init__(self) -> None:
        import zstandard

        # A file of `zstd --ultra --long=31` needs a window of 2 GiB.
        self.decoder = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self.decoder.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self.decoder.unused_data)

    def decompress(self, content: bytes, _: int) -> bytes:
        import zstandard

        try:
            return bytes(self.decoder.decompress(content))
        except zstandard.ZstdError as error:
            raise DamagedError(str(error)) from error


def _decompress(file: BinaryIO, make_decoder: Callable[[], Any]) -> Iterator[bytes]:
    """The content of the members, streams or frames of a file, one after the other."""
    num_bytes = ZSTD_READ_BYTES if make_decoder is _Zstd else READ_BYTES
    held = file.read(num_bytes)
    while held:
        decoder = make_decoder()
        while not decoder.eof:
            if decoder.needs_input and not held:
                held = file.read(num_bytes)
            is_end = decoder.needs_input and not held

            try:
                block = decoder.decompress(held if decoder.needs_input else b"", BLOCK_BYTES)
            except (OSError, zlib.error, lzma.LZMAError) as error:
                raise DamagedError(str(error)) from error

            held = b""
            if block:
                yield block
            elif is_end and not decoder.eof:
                raise DamagedError("the compressed data end too early")

        # Zeros may fill up a file after a member.
        held = decoder.unused_data.lstrip(b"\0")
        while not held and (block := file.read(num_bytes)):
            held = block.lstrip(b"\0")


def _unzip(file: BinaryIO, path: str) -> Iterator[bytes]:
    """The content of the one file of a zip archive."""
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise DamagedError(f"{error}, though it begins as one") from error

    names = archive.namelist()
    if "[Content_Types].xml" in names or "mimetype" in names:
        raise UserError(f"{path} is an Excel workbook or another document. Save it as CSV UTF-8.")

    # A Mac adds files of its own.
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise UserError(
            f"{path} is a zip archive of {len(members)} files, not of one. Unpack it, and name its"
            " files."
        )

    return _unzipped(archive, members[0], path)


def _unzipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str) -> Iterator[bytes]:
    try:
        with archive.open(member) as content:
            while block := content.read(BLOCK_BYTES):
                yield block
    except (RuntimeError, NotImplementedError) as error:  # A password, an unknown compression.
        raise UserError(f"{path} cannot be unzipped ({error}). Unpack it.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DamagedError(str(error)) from error


def _buffered(file: BinaryIO, blocks: Iterator[bytes]) -> io.BufferedReader:
    # The buffer finds lines, in C.
    return io.BufferedReader(_Blocks(file, blocks), BUFFER_BYTES)


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a file, which closes the one that they come from."""

    def __init__(self, file: BinaryIO, blocks: Iterator[bytes]) -> None:
        self.file = file
        self.blocks = blocks
        self.left = memoryview(b"")
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.error is not None:  # A generator that has raised is at its end.
            raise self.error

        while not self.left:
            try:
                block = next(self.blocks, None)
            except Exception as error:
                self.error = error
                raise
            if block is None:
                return 0
            self.left = memoryview(block)

        num = min(len(buffer), len(self.left))
        buffer[:num] = self.left[:num]
        self.left = self.left[num:]
        return num

    def close(self) -> None:
        self.file.close()
        super().close()
