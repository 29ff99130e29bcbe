"""Files that a source has and that are not read: why, how many, and the first ones."""

from collections.abc import Iterable
from dataclasses import dataclass

# Files of one reason that are named.
NUM_NAMED = 3


@dataclass(frozen=True)
class Reason:
    """Why a file is not read.

    Attributes:
        name: As the figures and examples.json call it.
        cause: The same in a sentence, in parentheses.
        way_out: What to do if they hold rows. Empty where this is as it should be: no warning.
    """

    name: str
    cause: str = ""
    way_out: str = ""


EMPTY = Reason("empty")
MARKER = Reason("marker")  # _SUCCESS, .DS_Store
OLDER_VERSION = Reason("older version")
# Of an earlier save of a data set of Hugging Face, or what `map` gave.
NOT_OF_DATA_SET = Reason("not of the data set")
HIDDEN = Reason(
    "hidden", "hidden names", "Rename what holds rows, and move the rest out of the source."
)
SUFFIX = Reason(
    "other suffix",
    "other endings than the files that are read have",
    "Rename or convert what holds rows, and move the rest out of the source.",
)
CASE = Reason(
    "other case",
    "the source matches but for upper and lower case",
    "Name the folder as the source, or rename them.",
)
DEEPER = Reason(
    "deeper folder",
    "in deeper folders",
    "Move up what holds rows, or name all files by a glob, in which ** stands for any folders.",
)
LOOSE = Reason(
    "no class folder",
    "in no folder of a class",
    "Move what is a text into the folder of its class, and the rest out of the source.",
)
FOLDER = Reason(
    "folder",
    "the source matches files, too",
    "If they hold rows, name these files by a glob of their own.",
)
SAME = Reason(
    "same file",
    "other names of what is read",
    "Each file is read once; without these links there is no such warning.",
)
NO_SPAN = Reason(
    "no span",
    "no number in the place of a placeholder",
    "Rename what belongs to a span.",
)
ALSO_MATCHED = Reason(
    "also matched",
    "the source is the name of a file, and is no glob then",
    "Rename that file to read these, too.",
)

REASONS = {
    reason.name: reason
    for reason in (
        EMPTY,
        MARKER,
        OLDER_VERSION,
        NOT_OF_DATA_SET,
        HIDDEN,
        SUFFIX,
        CASE,
        DEEPER,
        LOOSE,
        FOLDER,
        SAME,
        NO_SPAN,
        ALSO_MATCHED,
    )
}


@dataclass(frozen=True)
class Unused:
    """Files that are not read for one reason.

    Attributes:
        reason: The name of the reason.
        count: How many.
        names: The first ones.
    """

    reason: str
    count: int
    names: tuple[str, ...]


def unused(reason: Reason, names: Iterable[str], count: int | None = None) -> list[Unused]:
    """The record of the files with these names; no record if there is none.

    Args:
        reason: Why they are not read.
        names: All of them, or the first ones.
        count: How many there are. None for as many as there are names.
    """
    listed = list(names)
    number = len(listed) if count is None else count
    return [Unused(reason.name, number, tuple(listed[:NUM_NAMED]))] if number else []


def merge(records: Iterable[Unused]) -> tuple[Unused, ...]:
    """One record for each reason, in the order of the reasons."""
    counts: dict[str, int] = {}
    names: dict[str, tuple[str, ...]] = {}
    for record in records:
        counts[record.reason] = counts.get(record.reason, 0) + record.count
        # Records that come from JSON hold lists.
        names[record.reason] = (*names.get(record.reason, ()), *record.names)[:NUM_NAMED]
    return tuple(
        Unused(reason, counts[reason], names[reason]) for reason in REASONS if reason in counts
    )


def named(record: Unused) -> str:
    """`a.md, b.md and 3 others`; control characters are escaped."""
    shown = ", ".join(map(printable, record.names))
    left = record.count - len(record.names)
    return f"{shown} and {left:,} other{'s' * (left > 1)}" if left else shown


def no_rows(records: Iterable[Unused], section: str) -> str:
    """The sentence about a source whose files are all empty."""
    (record,) = (record for record in records if record.reason == EMPTY.name)
    others = f" and {record.count - 1:,} others have" if record.count > 1 else " has"
    return (
        f"{printable(record.names[0])}{others} no row. Name files with rows in {section}.source,"
        " or put rows into them."
    )


def printable(path: str) -> str:
    """A path as one line of text."""
    return path if path.isprintable() else repr(path)


def warnings(records: Iterable[Unused], source: str) -> list[str]:
    """A sentence for each reason that calls for attention.

    Args:
        records: What is not read.
        source: What it is a part of, such as "example_gen.source".
    """
    sentences = []
    for record in merge(records):
        reason = REASONS[record.reason]
        if reason.way_out:
            verb = "are" if record.count > 1 else "is"
            sentences.append(
                f"{counted(record)} of {source} {verb} not read ({reason.cause}):"
                f" {named(record)}. {reason.way_out}"
            )
    return sentences


def counted(record: Unused) -> str:
    """`3 files` or `1 folder`."""
    noun = "folder" if all(name.endswith("/") for name in record.names) else "file"
    return f"{record.count:,} {noun}{'s' * (record.count > 1)}"


def summary(records: Iterable[Unused]) -> str:
    """`2 files (in deeper folders: a/b/1.txt)`, for the end of an error."""
    return "; ".join(
        f"{counted(record)} ({REASONS[record.reason].cause or record.reason}:"
        f" {printable(record.names[0])})"
        for record in merge(records)
    )


def notes(records: Iterable[Unused]) -> list[str]:
    """`2 empty files skipped` and `3 files not used`, for the line of a stage."""
    listed = list(records)
    num_empty = sum(record.count for record in listed if record.reason == EMPTY.name)
    num_others = sum(record.count for record in listed) - num_empty
    texts = []
    if num_empty:
        texts.append(f"{num_empty:,} empty file{'s' * (num_empty > 1)} skipped")
    if num_others:
        texts.append(f"{num_others:,} file{'s' * (num_others > 1)} not used")
    return texts
