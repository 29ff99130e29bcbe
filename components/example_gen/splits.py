"""From a source's patterns to its spans: which files they have, of which kind, in which splits."""

import os
import re
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from components.example_gen import ExampleGenParams, saved_data_sets, spans
from components.example_gen.spans import SpanFiles
from seqline.data import features
from seqline.errors import DataError, UserError
from seqline.rows.read import kind_of
from seqline.storage import files
from seqline.storage.files import File

# The kind of shards of a TFDS data set. It is not a format of files: only this component reads it.
TFDS_KIND = "tfds"
# The names that data sets give their splits -> ours.
SPLIT_NAMES = {
    "train": "train",
    "validation": "eval",
    "valid": "eval",
    "dev": "eval",
    "val": "eval",
    "eval": "eval",
    "test": "test",
}

# Text files of a folder, gzipped or not: one listing finds both.
TEXT_FILES = "*/*.txt*"


@dataclass(frozen=True)
class SplitFiles:
    """The files of a span that belong to one split.

    Attributes:
        split: The source's own split. None where rows are split by their digest.
        kind: The format's NAME.
        files: In the order in which they are read.
    """

    split: str | None
    kind: str
    files: tuple[File, ...]


@dataclass(frozen=True)
class SourceSpan:
    """One period of arriving data, as the source has it.

    Attributes:
        number: The span.
        version: The highest one, where the pattern has versions.
        parts: Its files, split by split. A TFDS data set has none.
        digest: Of the content of its files. "" where it was not asked for.
        unused_splits: The names of splits that the source has, too, and that are not used.
    """

    number: int
    version: int | None
    parts: tuple[SplitFiles, ...]
    digest: str = ""
    unused_splits: tuple[str, ...] = ()


# Number of a span -> its files.
BySpan = dict[int, SpanFiles]


def find(params: ExampleGenParams) -> list[SourceSpan]:
    """The spans of the window in ascending order, without their digests.

    Raises:
        UserError: A pattern matches nothing, a kind or the name of a split is unknown, or a span
            does not exist.
        DataError: One split lacks a span, or a folder has fewer than two classes.
    """
    patterns: dict[str | None, str] = (
        {None: params.source} if isinstance(params.source, str) else _splits(params.source)
    )
    _check_patterns(patterns)
    by_split, unused = _match_all(patterns)
    numbers = {number for _, by_span in by_split.values() for number in by_span}
    left = numbers - set(params.skip)
    if numbers and not left:
        raise UserError(f"example_gen.skip leaves no span of example_gen.source {params.source!r}.")

    place = f"example_gen.source {params.source!r}"
    chosen = spans.choose(left, params.span, params.window, place)
    return [replace(_span(number, by_split, patterns), unused_splits=unused) for number in chosen]


def _match_all(
    patterns: dict[str | None, str],
) -> tuple[dict[str | None, tuple[str | None, BySpan]], tuple[str, ...]]:
    """Split -> what its pattern matches, see `_match`; and the names of splits not used.

    A single pattern may name data sets that have splits of their own.
    """
    by_split: dict[str | None, tuple[str | None, BySpan]] = {}
    for split, pattern in patterns.items():
        saved = saved_data_sets.match(pattern, SPLIT_NAMES)
        if saved is None:
            by_split[split] = _match(pattern)
            continue

        matched, unused = saved
        if split is None:
            kind = saved_data_sets.KIND
            return {own: (kind, by_span) for own, by_span in matched.items()}, unused
        if None not in matched or unused:
            raise UserError(
                f"example_gen.source has {pattern!r} for {split}, which has splits of its own; name"
                f" the folder of one, such as {pattern.rstrip('/')}/{split}."
            )
        by_split[split] = (saved_data_sets.KIND, matched[None])
    return by_split, ()


def _splits(source: dict[str, str]) -> dict[str | None, str]:
    """The patterns by our names of the splits."""
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
            " validation, dev, val and eval are the same."
        )

    if features.TRAIN not in patterns:
        raise UserError(f"example_gen.source names the splits {sorted(source)} and no train.")
    return patterns


def _check_patterns(patterns: dict[str | None, str]) -> None:
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


def _span(
    number: int,
    by_split: dict[str | None, tuple[str | None, BySpan]],
    patterns: dict[str | None, str],
) -> SourceSpan:
    """A span with the files of all splits.

    Args:
        number: The span.
        by_split: Split -> (kind, files), see `_match`.
        patterns: Split -> its pattern, for messages.
    """
    have_it = [split for split, (_, by_span) in by_split.items() if number in by_span]
    for split in by_split:
        if split not in have_it:
            raise DataError(
                f"Span {number} exists for {have_it[0]} and not for {split} "
                f"({patterns[split]!r}). "
                "Add its files, or set example_gen.span to an earlier one."
            )

    versions = {split: by_span[number].version for split, (_, by_span) in by_split.items()}
    if len(set(versions.values())) > 1:
        shown = ", ".join(f"{version} of {split}" for split, version in versions.items())
        raise DataError(
            f"Span {number} has the versions {shown}; the splits must have the same one. Add the"
            " files of the missing version."
        )

    parts = []
    for split, (kind, by_span) in by_split.items():
        files_of_split = tuple(by_span[number].files)
        if kind is None:
            kind = kind_of(files_of_split, patterns[split], "example_gen")
        parts.append(SplitFiles(split, kind, files_of_split))
    return SourceSpan(number, next(iter(versions.values())), tuple(parts))


def _match(pattern: str) -> tuple[str | None, BySpan]:
    """(kind, files) that a pattern matches; kind is None where the files' names tell it.

    A pattern that matches no file may name folders of <class>/*.txt.
    """
    names = spans.to_glob(pattern)
    if matched := files.match(names):
        return None, _group(pattern, matched)

    # The formats load numpy, which nothing else needs to find files.
    from seqline.rows.formats import folder

    root = names.rstrip("/")
    # A folder's own name first: it may hold brackets.
    is_folder = os.path.isdir(root)
    escaped = re.sub(r"([*?[])", r"[\1]", root) if is_folder else root
    texts = [
        file
        for file in files.match(f"{escaped}/{TEXT_FILES}")
        if file.path.endswith(folder.SUFFIXES)
    ]
    if not texts and not is_folder:
        where = "" if files.is_remote(pattern) else f" under {Path.cwd()}"
        raise UserError(f"example_gen.source {pattern!r} matches no file{where}.")

    by_span = _group(pattern.rstrip("/"), texts, "/[^/]*/[^/]*")
    for span_files in by_span.values():
        classes = {class_and_name(file).partition("/")[0] for file in span_files.files}
        if len(classes) < 2:
            place = span_files.files[0].path.rsplit("/", 2)[0] if span_files.files else root
            raise DataError(
                f"{place} holds {len(classes)} class folders with .txt files; at least two are"
                " needed: <class>/<name>.txt."
            )

        # Spread by a digest of the name, so that a shard holds every class.
        span_files.files.sort(key=lambda file: blake2b(class_and_name(file).encode()).digest())

    return folder.NAME, by_span


def _group(pattern: str, matched: list[File], tail: str = "") -> BySpan:
    """See `spans.group`."""
    by_span = spans.group(pattern, matched, tail)
    if not by_span:
        raise UserError(
            f"example_gen.source {pattern!r} matches no span; {matched[0].path} has no number in"
            " the place of a placeholder."
        )
    return by_span


def class_and_name(file: File) -> str:
    """`<class>/<name>.txt` of a file in a folder."""
    return "/".join(file.path.rsplit("/", 2)[1:])
