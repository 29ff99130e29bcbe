"""What a source is made of: its files, its splits and the shards that Beam distributes. Imports nothing heavy."""

import codecs
import glob
import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from components import features
from components.base import DataError, UserError
from components.example_gen import ExampleGenParams

TFDS = "tfds:"
# A shard of JSONL is at most this long, a shard of small text files about as long.
SHARD_BYTES = 32 << 20
READ_BYTES = 1 << 20

# What data sets call their splits.
SPLIT_NAMES = {"train": "train", "validation": "eval", "valid": "eval", "dev": "eval", "eval": "eval", "test": "test"}

Kind = Literal["csv", "jsonl", "folder"]


@dataclass(frozen=True)
class Shard:
    """A bounded piece of a source: what one Beam element stands for.

    split: the source's own split, None where the rows are split by their digest.
    paths: one file, or many small ones (folder). start and end: bytes of a JSONL file; a row belongs to the shard in which it
    starts. tfds_shard: the number of the shard of a TFDS split (then `paths` is its name, version and split).
    """

    kind: Kind | Literal["tfds"]
    split: str | None
    paths: tuple[str, ...]
    start: int = 0
    end: int = 0
    tfds_shard: int = 0


def tfds_name(params: ExampleGenParams) -> str | None:
    """`imdb_reviews` for the source `tfds:imdb_reviews`; None for files."""
    source = params.source
    return source.removeprefix(TFDS) if isinstance(source, str) and source.startswith(TFDS) else None


def check(params: ExampleGenParams) -> None:
    """Raises UserError or DataError for what the names, headers and first rows already show."""
    try:
        codecs.lookup(params.encoding)
        newline = "\n".encode(params.encoding)
    except LookupError:
        raise UserError(
            f"example_gen.encoding {params.encoding!r} is not an encoding that Python knows, such as utf-8 or latin-1."
        ) from None
    if newline != b"\n":
        raise UserError(
            f"example_gen.encoding {params.encoding!r} has line ends of its own; convert the file first: iconv -f {params.encoding} -t utf-8"
        )
    if tfds_name(params):
        return
    from components.example_gen import rows

    for _, kind, paths in files(params):
        if kind == "folder":
            continue
        for path in paths:
            rows.check_file(path, kind, params)


def files(params: ExampleGenParams) -> list[tuple[str | None, Kind, list[Path]]]:
    """(own split or None, kind, files in order) for each part of a source of files.

    Raises UserError for patterns that match nothing, unknown kinds and unknown split names.
    """
    if isinstance(params.source, str):
        return [(None, *_match(params.source))]
    parts: list[tuple[str | None, Kind, list[Path]]] = []
    for name, pattern in params.source.items():
        if name not in SPLIT_NAMES:
            raise UserError(f"example_gen.source has a split {name!r}; splits are named {', '.join(SPLIT_NAMES)}.")
        parts.append((SPLIT_NAMES[name], *_match(pattern)))
    if features.TRAIN not in [split for split, _, _ in parts]:
        raise UserError(f"example_gen.source names the splits {sorted(params.source)} and no train.")
    return parts


def _match(pattern: str) -> tuple[Kind, list[Path]]:
    if "://" in pattern:
        raise UserError(f"example_gen.source {pattern!r}: only local files and tfds: names can be read; copy the files first.")
    if Path(pattern).is_dir():
        return "folder", _text_files(Path(pattern))
    # A file's own name first: it may hold brackets.
    names = [pattern] if Path(pattern).is_file() else glob.glob(pattern, recursive=True)
    found = sorted(Path(path) for path in names if Path(path).is_file())
    if not found:
        raise UserError(f"example_gen.source {pattern!r} matches no file under {Path.cwd()}.")
    suffixes = {path.suffix for path in found}
    if len(suffixes) > 1:
        raise UserError(f"example_gen.source {pattern!r} matches files of several kinds, {sorted(suffixes)}; name one kind.")
    kinds: dict[str, Kind] = {".csv": "csv", ".jsonl": "jsonl"}
    if found[0].suffix not in kinds:
        raise UserError(f"example_gen.source {found[0]} is neither .csv nor .jsonl, nor a folder of <class>/*.txt.")
    return kinds[found[0].suffix], found


def _text_files(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.glob("*/*.txt") if path.is_file())
    classes = {path.parent.name for path in found}
    if len(classes) < 2:
        raise DataError(f"{folder} holds {len(classes)} class folders with .txt files; at least two are needed: <class>/<name>.txt.")
    # Spread by a digest of the name, so that a shard holds every class.
    return sorted(found, key=lambda path: blake2b(f"{path.parent.name}/{path.name}".encode()).digest())


def digest(params: ExampleGenParams) -> str | None:
    """A digest of the content that a run would read. It follows content, not paths or times of change."""
    if name := tfds_name(params):
        from components.example_gen import tfds_source

        return tfds_source.digest(name, params.data_dir)
    whole = blake2b(digest_size=16)
    for split, kind, paths in files(params):
        for path in paths:
            name = f"{path.parent.name}/{path.name}" if kind == "folder" else ""
            whole.update(json.dumps([split, kind, name, file_digest(path)]).encode())
    return whole.hexdigest()


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's content."""
    content = blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            content.update(block)
    return content.hexdigest()


def shards(params: ExampleGenParams) -> tuple[list[Shard], list[str]]:
    """The shards of a source in order, and the names of the source's splits that are not used."""
    if name := tfds_name(params):
        from components.example_gen import tfds_source

        return tfds_source.shards(name, params)
    found = []
    for split, kind, paths in files(params):
        if kind == "csv":  # a line end inside quotes is not a row's end: only a reader from the start can tell
            found += [Shard(kind, split, (str(path),)) for path in paths]
        elif kind == "jsonl":
            for path in paths:
                size = path.stat().st_size
                found += [Shard(kind, split, (str(path),), start, min(start + SHARD_BYTES, size)) for start in range(0, size, SHARD_BYTES)]
        else:
            found += [Shard(kind, split, tuple(group)) for group in _groups(paths)]
    return found, []


def _groups(paths: list[Path]) -> list[list[str]]:
    groups: list[list[str]] = [[]]
    size = 0
    for path in paths:
        if size >= SHARD_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(str(path))
        size += path.stat().st_size
    return groups
