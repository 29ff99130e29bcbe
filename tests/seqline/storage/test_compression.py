"""Compressed files are known by their content, whatever their names say."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from seqline.errors import DataError, UserError
from seqline.storage import files


def zipped(*names: str, content: bytes = b"") -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, content)
    return archive.getvalue()


def tarred() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as file:
        file.addfile(tarfile.TarInfo("a.csv"))
    return archive.getvalue()


COMPRESS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda content: lzma.compress(content, preset=0),
    "zstd": zstandard.compress,
}
# Longer than a buffer, and not much shorter when it is compressed.
LONG = b"".join(b"%d," % (number * 7919 % 1_000_003) for number in range(200_000))


def content_of(path: Path, raw: bytes) -> bytes:
    path.write_bytes(raw)
    with files.translate_errors(str(path)), files.open_content(str(path)) as file:
        return file.read()


def blocks_of(path: Path) -> Iterator[bytes]:
    with files.translate_errors(str(path)), files.open_content(str(path)) as file:
        while block := file.read1(1 << 16):  # type: ignore[attr-defined]  # Not of every file.
            yield block


@pytest.mark.parametrize("name", ["a.csv", "a.gz", "a.csv.zst"])
@pytest.mark.parametrize("compression", COMPRESS)
def test_members_are_read_one_after_the_other(tmp_path: Path, compression: str, name: str) -> None:
    compress = COMPRESS[compression]
    raw = compress(b"one,") + compress(b"") + compress(b"two\n")
    assert content_of(tmp_path / name, raw) == b"one,two\n"


@pytest.mark.parametrize("compression", COMPRESS)
def test_long_files(tmp_path: Path, compression: str) -> None:
    compressed = COMPRESS[compression](LONG)
    assert content_of(tmp_path / "a", compressed) == LONG

    # Zeros are compressed a thousandfold and more.
    compressed = COMPRESS[compression](bytes(1 << 24))
    (tmp_path / "b").write_bytes(compressed)
    assert sum(len(block) for block in blocks_of(tmp_path / "b")) == 1 << 24


def test_what_is_not_compressed_is_read_as_it_is(tmp_path: Path) -> None:
    assert content_of(tmp_path / "a.csv.gz", b"text,label\n") == b"text,label\n"
    assert content_of(tmp_path / "b.csv.gz", b"") == b""
    assert content_of(tmp_path / "c.csv", b"BZh,label\n") == b"BZh,label\n"


def test_zip_archives_of_one_file(tmp_path: Path) -> None:
    raw = zipped("d/", "d/a.csv", "__MACOSX/d/._a.csv", content=b"text,label\n")
    assert content_of(tmp_path / "a.csv", raw) == b"text,label\n"


@pytest.mark.parametrize("compression", COMPRESS)
def test_all_that_precedes_a_damage_is_read(tmp_path: Path, compression: str) -> None:
    compress = COMPRESS[compression]
    path = tmp_path / "a"
    path.write_bytes(compress(b"one\n") + compress(LONG)[:-1000])

    blocks: list[bytes] = []
    with pytest.raises(DataError, match=rf"{path} is damaged: .*\. Make or copy the file again"):
        blocks.extend(blocks_of(path))
    content = b"".join(blocks)
    assert len(content) > len(LONG) // 2
    assert content == (b"one\n" + LONG)[: len(content)]


@pytest.mark.parametrize("compression", COMPRESS)
def test_bytes_after_a_member_are_a_damage(tmp_path: Path, compression: str) -> None:
    raw = COMPRESS[compression](b"one\n")
    with pytest.raises(DataError, match="is damaged"):
        content_of(tmp_path / "a", raw + b"garbage, not a member")
    # But a tape or a download may fill up its last block.
    assert content_of(tmp_path / "b", raw + b"\0" * 512) == b"one\n"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (zipped("a.csv", "b.csv"), "is a zip archive of 2 files, not of one. Unpack it, and name"),
        (zipped(), "is a zip archive of 0 files, not of one."),
        (zipped("[Content_Types].xml"), "is an Excel workbook or another document. Save it as CSV"),
        (tarred(), "is a tar archive. Unpack it with tar, and name its files."),
        (
            gzip.compress(tarred(), mtime=0),
            "is a tar archive. Unpack it with tar, and name its files.",
        ),
        (gzip.compress(bz2.compress(b"a"), mtime=0), "is compressed twice. Unpack it once."),
        (b"\x1f\x9d\x90aaaaaaaaaa", "is compressed by `compress` (.Z). Unpack it with uncompress."),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "is a 7-Zip archive. Unpack it."),
        (b"Rar!\x1a\x07\x01\x00", "is a RAR archive. Unpack it."),
        (b"<!DOCTYPE html>\n<html>", "is an HTML page. Download the file again"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS"),
        (b"PAR1\x15\x04\x15", "is a Parquet file. Name it .parquet."),
    ],
    # Archives hold the time: as a name of a test they would differ from process to process.
    ids=lambda value: value if isinstance(value, str) else "raw",
)
def test_files_without_rows_are_named(tmp_path: Path, raw: bytes, message: str) -> None:
    with pytest.raises(UserError) as error:
        content_of(tmp_path / "a.csv", raw)
    assert str(error.value).startswith(f"{tmp_path}/a.csv {message}")


def test_damaged_and_encrypted_zip_archives(tmp_path: Path) -> None:
    raw = zipped("a.csv", content=LONG)
    with pytest.raises(DataError, match="is damaged: File is not a zip file, though it begins"):
        content_of(tmp_path / "a.csv", raw[:-100])

    encrypted = bytearray(zipped("a.csv", content=b"one"))
    encrypted[6] |= 1  # In the file's own header, and in the directory's.
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UserError, match=r"cannot be unzipped \(.*password.*\)\. Unpack it\."):
        content_of(tmp_path / "a.csv", bytes(encrypted))
