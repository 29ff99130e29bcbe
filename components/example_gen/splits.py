"""From a source of files to its spans: which files there are, of which kind, in which splits."""

import os
import re
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from components.example_gen import ExampleGenParams, spans
from seqline.data import features
from seqline.errors import DataError, UserError
from seqline.rows.read import kind_of
from seqline.storage import files
from seqline.storage.files import File

# What data sets call their splits.
SPLIT_NAMES = {
    "train": "train",
    "validation": "eval",
    "valid": "eval",
    "dev": "eval",
    "eval": "eval",
    "test": "test",
}

# One listing finds both.
TEXT_FILES = "*/*.txt*"


@dataclass(frozen=True)
class Part:
    """The files of a span that have one split. split.

    The source's own, or None where rows are split by their digest.
    """

    split: str | None
    kind: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class Span:
    """One period of arriving data. digest.

    Of the content of its files, "" where nobody asked for it. TFDS has no parts.
    """

    number: int
    version: int | None
    parts: tuple[Part, ...]
    digest: str = ""


# Number of a span -> its files.
Found = dict[int, spans.Found]


def find(params: ExampleGenParams) -> list[Span]:
    """The spans of the window in ascending order, without their digests.

    Raises UserError for patterns that match nothing, unknown kinds and split names, and a span that
    is not there; DataError for a span that one split lacks, and for folders with less than two
    classes.
    """
    patterns: dict[str | None, str] = (
        {None: params.source} if isinstance(params.source, str) else _splits(params.source)
    )
    for pattern in patterns.values():
        if "://" in pattern and not files.is_remote(pattern):
            raise UserError(
                f"example_gen.source {pattern!r}: only local files, gs:// and tfds: names can be"
                " read; copy the files first."
            )
        spans.check(pattern)
    with_spans = [split for split, pattern in patterns.items() if spans.has_placeholder(pattern)]
    without = [split for split in patterns if split not in with_spans]
    if with_spans and without:
        raise UserError(
            f"example_gen.source has spans for {with_spans[0]} and none for {without[0]}: write"
            " {SPAN} or a date in both patterns."
        )
    found = {split: _match(pattern) for split, pattern in patterns.items()}
    numbers = {number for _, by_number in found.values() for number in by_number}
    left = numbers - set(params.skip)
    if numbers and not left:
        raise UserError(f"example_gen.skip leaves no span of example_gen.source {params.source!r}.")
    chosen = spans.choose(left, params.span, params.window, f"example_gen.source {params.source!r}")
    return [_span(number, found, patterns) for number in chosen]


def _splits(source: dict[str, str]) -> dict[str | None, str]:
    for name in source:
        if name not in SPLIT_NAMES:
            raise UserError(
                f"example_gen.source has a split {name!r}; splits are named"
                f" {', '.join(SPLIT_NAMES)}."
            )
    patterns: dict[str | None, str] = {
        SPLIT_NAMES[name]: pattern for name, pattern in source.items()
    }
    if len(patterns) < len(source):
        raise UserError(
            f"example_gen.source has one split under two names in {sorted(source)}; valid,"
            " validation, dev and eval are the same."
        )
    if features.TRAIN not in patterns:
        raise UserError(f"example_gen.source names the splits {sorted(source)} and no train.")
    return patterns


def _span(
    number: int, found: dict[str | None, tuple[str | None, Found]], patterns: dict[str | None, str]
) -> Span:
    there = [split for split, (_, by_number) in found.items() if number in by_number]
    for split in found:
        if split not in there:
            raise DataError(
                f"Span {number} is there for {there[0]} and not for {split} ({patterns[split]!r}). "
                "Add its files, or set example_gen.span to an earlier one."
            )
    versions = {split: by_number[number].version for split, (_, by_number) in found.items()}
    if len(set(versions.values())) > 1:
        shown = ", ".join(f"{version} of {split}" for split, version in versions.items())
        raise DataError(
            f"Span {number} has the versions {shown}; the splits must have the same one. Add the"
            " files of the missing version."
        )
    parts = []
    for split, (kind, by_number) in found.items():
        mine = tuple(by_number[number].files)
        parts.append(Part(split, kind or kind_of(mine, patterns[split], "example_gen"), mine))
    return Span(number, next(iter(versions.values())), tuple(parts))


def _match(pattern: str) -> tuple[str | None, Found]:
    """The files by spans. A pattern that matches no file may name folders of <class>/*.txt."""
    names = spans.to_glob(pattern)
    if found := files.match(names):
        return None, _group(pattern, found)
    root = names.rstrip("/")
    # A folder's own name first: it may hold brackets.
    literal = os.path.isdir(root)
    from seqline.rows.formats import folder as folder_format

    escaped = re.sub(r"([*?[])", r"[\1]", root) if literal else root
    found = [
        file
        for file in files.match(f"{escaped}/{TEXT_FILES}")
        if file.path.endswith(folder_format.SUFFIXES)
    ]
    if not found and not literal:
        where = "" if files.is_remote(pattern) else f" under {Path.cwd()}"
        raise UserError(f"example_gen.source {pattern!r} matches no file{where}.")
    folders = _group(pattern.rstrip("/"), found, "/[^/]*/[^/]*")
    for folder in folders.values():
        classes = {class_and_name(file).partition("/")[0] for file in folder.files}
        if len(classes) < 2:
            place = folder.files[0].path.rsplit("/", 2)[0] if folder.files else root
            raise DataError(
                f"{place} holds {len(classes)} class folders with .txt files; at least two are"
                " needed: <class>/<name>.txt."
            )
        # Spread by a digest of the name, so that a shard holds every class.
        folder.files.sort(key=lambda file: blake2b(class_and_name(file).encode()).digest())
    return folder_format.NAME, folders


def _group(pattern: str, found: list[File], tail: str = "") -> Found:
    grouped = spans.group(pattern, found, tail)
    if not grouped:
        raise UserError(
            f"example_gen.source {pattern!r} matches no span; {found[0].path} has no number in the"
            " place of a placeholder."
        )
    return grouped


def class_and_name(file: File) -> str:
    """`<class>/<name>.txt` of a file in a folder."""
    return "/".join(file.path.rsplit("/", 2)[1:])
