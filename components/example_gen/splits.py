"""From a source's patterns to its spans: which files they have, of which kind, in which splits."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from components.example_gen import ExampleGenParams, spans
from components.example_gen.spans import SpanFiles
from seqline.data import features
from seqline.errors import DataError, UserError
from seqline.rows import unused
from seqline.rows.find import Matches, Selection, location, match, select
from seqline.rows.formats import folder
from seqline.rows.unused import Unused
from seqline.storage.files import File, is_remote
from seqline.storage.listing import Entry

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


@dataclass(frozen=True)
class SplitFiles:
    """The files of a span that belong to one split.

    Attributes:
        split: The source's own split. None where rows are split by their digest.
        kind: The format's NAME.
        files: In the order in which they are read. None where those of this span are empty.
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
        unused: Files that are not read. They may come and go: two spans are equal whose files are.
    """

    number: int
    version: int | None
    parts: tuple[SplitFiles, ...]
    digest: str = ""
    unused_splits: tuple[str, ...] = ()
    unused: tuple[Unused, ...] = field(default=(), compare=False)

    @property
    def files(self) -> list[File]:
        """The files of all splits."""
        return [file for part in self.parts for file in part.files]


@dataclass
class SplitMatches:
    """What the pattern of a split matches.

    Attributes:
        pattern: As the configuration has it.
        matches: Its files or folders.
        by_span: The same, by the numbers of their spans.
        kind: The NAME of their format, where it does not follow from their names.
    """

    pattern: str
    matches: Matches
    by_span: dict[int, SpanFiles]
    kind: str | None = None


def find(params: ExampleGenParams) -> list[SourceSpan]:
    """The spans of the window in ascending order, without their digests.

    Empty files are not among those of a span. A span may have no others: it has no row.

    Raises:
        UserError: A pattern matches nothing, a kind or the name of a split is unknown, or a span
            does not exist.
        DataError: One split lacks a span, a folder has fewer than two classes, all files are empty,
            or a link leads nowhere.
    """
    patterns: dict[str | None, str] = (
        {None: params.source} if isinstance(params.source, str) else _splits(params.source)
    )
    _check_patterns(patterns)
    by_split, unused_splits = _match_all(patterns)
    numbers = {number for matched in by_split.values() for number in matched.by_span}
    left = numbers - set(params.skip)
    if numbers and not left:
        raise UserError(f"example_gen.skip leaves no span of example_gen.source {params.source!r}.")

    place = f"example_gen.source {params.source!r}"
    chosen = spans.choose(left, params.span, params.window, place)
    window = [replace(_span(number, by_split), unused_splits=unused_splits) for number in chosen]
    if not any(span.files for span in window):
        empty = unused.merge(record for span in window for record in span.unused)
        raise DataError(unused.no_rows(empty, "example_gen"))

    # The newest span has the files that are of none, too.
    others = [record for matched in by_split.values() for record in matched.matches.unused]
    newest = replace(window[-1], unused=unused.merge([*window[-1].unused, *others]))
    return [*window[:-1], newest]


def _match_all(
    patterns: dict[str | None, str],
) -> tuple[dict[str | None, SplitMatches], tuple[str, ...]]:
    """Split -> what its pattern matches, see `_match`; and the names of splits not used.

    A single pattern may name data sets that have splits of their own.
    """
    # Here: it imports NumPy, which a run of a tfds source with nothing to do needs not.
    from components.example_gen import saved_data_sets

    by_split: dict[str | None, SplitMatches] = {}
    for split, pattern in patterns.items():
        saved = saved_data_sets.match(location(pattern, "example_gen"), SPLIT_NAMES)
        if saved is None:
            by_split[split] = _match(pattern)
            continue

        if split is not None and (None not in saved.matched or saved.unused_splits):
            raise UserError(
                f"example_gen.source has {pattern!r} for {split}, which has splits of its own; name"
                f" the folder of one, such as {pattern.rstrip('/')}/{split}."
            )

        others = saved.unused
        for own, by_span in saved.matched.items():
            matches = Matches([], others)
            others = []  # Counted once.
            kind = saved_data_sets.KIND
            by_split[own or split] = SplitMatches(pattern, matches, by_span, kind)
        if split is None:
            return by_split, saved.unused_splits
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
        spans.check(pattern)

    with_spans = [split for split, pattern in patterns.items() if spans.has_placeholder(pattern)]
    without = [split for split in patterns if split not in with_spans]
    if with_spans and without:
        raise UserError(
            f"example_gen.source has spans for {with_spans[0]} and none for {without[0]}: write"
            " {SPAN} or a date in both patterns."
        )


def _span(number: int, by_split: Mapping[str | None, SplitMatches]) -> SourceSpan:
    """A span with the files of all splits."""
    have_it = [split for split, matched in by_split.items() if number in matched.by_span]
    for split, matched in by_split.items():
        if split not in have_it:
            raise DataError(
                f"Span {number} exists for {have_it[0]} and not for {split} "
                f"({matched.pattern!r}). "
                "Add its files, or set example_gen.span to an earlier one."
            )

    versions = {split: matched.by_span[number].version for split, matched in by_split.items()}
    if len(set(versions.values())) > 1:
        shown = ", ".join(f"{version} of {split}" for split, version in versions.items())
        raise DataError(
            f"Span {number} has the versions {shown}; the splits must have the same one. Add the"
            " files of the missing version."
        )

    parts = []
    records: list[Unused] = []
    for split, matched in by_split.items():
        span = matched.by_span[number]
        selection = _select(span, matched)
        if selection.kind == folder.NAME:
            _check_classes(selection, span.entries)
        parts.append(SplitFiles(split, selection.kind, tuple(selection.files)))
        records += selection.unused
        records += unused.unused(unused.OLDER_VERSION, (entry.shown for entry in span.older))
    return SourceSpan(
        number, next(iter(versions.values())), tuple(parts), unused=unused.merge(records)
    )


def _select(span: SpanFiles, matched: SplitMatches) -> Selection:
    """The files of a span that are read."""
    if matched.kind is None:
        return select(span.entries, matched.matches, matched.pattern, "example_gen", labelled=True)
    files = [File(entry.path, entry.size, entry.content) for entry in span.entries]
    return Selection(matched.kind, files, [])


def _check_classes(selection: Selection, tops: Sequence[Entry]) -> None:
    """Checks that there are two classes, and spreads them."""
    classes = {class_and_name(file).partition("/")[0] for file in selection.files}
    if len(classes) < 2:
        others = [f" Not read: {unused.summary(selection.unused)}."] * bool(selection.unused)
        raise DataError(
            f"{unused.printable(tops[0].path.rstrip('/'))} holds {len(classes)} class folders with"
            " .txt files; at least two are needed: <class>/<name>.txt."
            f"{''.join(others)}"
        )

    # Spread by a digest of the name, so that a shard holds every class.
    selection.files.sort(key=lambda file: blake2b(os.fsencode(class_and_name(file))).digest())


def _match(source: str) -> SplitMatches:
    """What a pattern matches, by spans."""
    # A folder of spans may end in a slash; what it matches does not.
    pattern = location(source, "example_gen")
    pattern = pattern.rstrip("/") or pattern
    matches = match(spans.to_glob(pattern), source, "example_gen")
    by_span = spans.group(pattern, matches.entries)
    if not by_span:
        raise UserError(
            f"example_gen.source {source!r} matches no span; {matches.entries[0].path} has no"
            " number in the place of a placeholder."
        )

    of_spans = {entry.path for span in by_span.values() for entry in (*span.entries, *span.older)}
    others = (entry.shown for entry in matches.entries if entry.path not in of_spans)
    matches.unused += unused.unused(unused.NO_SPAN, others)
    return SplitMatches(source, matches, by_span)


def read_again(window: Sequence[SourceSpan]) -> list[str]:
    """A sentence about files that several spans or splits have, through links; none without.

    Within one each file is read once. Here each reads it: a span is what its folder holds.
    """
    parts = [part for span in window for part in span.parts]
    if len(parts) < 2:
        return []

    first_names: dict[tuple[int, int], str] = {}
    again = []
    for file in (file for part in parts for file in part.files if not is_remote(file.path)):
        with suppress(OSError):  # It is gone meanwhile.
            status = os.stat(file.path)
            first = first_names.setdefault((status.st_dev, status.st_ino), file.path)
            if first is not file.path:
                again.append(f"{unused.printable(file.path)} (that is {unused.printable(first)})")

    if not again:
        return []
    record = unused.Unused(unused.SAME.name, len(again), tuple(again[: unused.NUM_NAMED]))
    verb = "are" if len(again) > 1 else "is"
    return [
        f"{unused.counted(record)} of example_gen.source {verb} read more than once, for several"
        f" spans or splits: {unused.named(record)}. Take them out of all but one if"
        " rows are to count once."
    ]


def class_and_name(file: File) -> str:
    """`<class>/<name>.txt` of a file in a folder."""
    return "/".join(file.path.rsplit("/", 2)[1:])
