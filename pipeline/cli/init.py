"""`seqline init`: prints what it saw in a few lines, and what to do next."""

import os
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import usage
from pipeline.cli.options import Label, Text

if TYPE_CHECKING:
    from pipeline.init.choose import Choice
    from pipeline.init.inspection import Inspection


def init(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help=(
                "a CSV, TSV, JSON, TFRecord, Parquet or Arrow file, compressed or not, a glob, or a"
                " folder; a second one is the test data"
            ),
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="the file to write; NAME.toml after the data's name if none is given",
        ),
    ] = None,
    text: Text = None,
    label: Label = None,
    test: Annotated[
        str | None, typer.Option("--test", help="the test data, where they are files of their own")
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option("--encoding", help="the encoding of text files; guessed if not given"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace the file if it exists")] = False,
) -> None:
    """Look at data and write a configuration for it, with comments and a threshold for every gate.

    Reads the beginning of the data: format, encoding, delimiter, header, columns, which of them may
    be the content, the label or the split, script and lengths.
    """
    from components import example_gen
    from pipeline import config as configuration
    from pipeline.init import choose, inspection, write
    from seqline.errors import UserError

    paths = [*data, *([test] if test else [])]
    _check_paths(paths)
    source = paths[0] if len(paths) == 1 else {"train": paths[0], "test": paths[1]}
    target = Path(output) if output else Path(inspection.stem(paths[0]).name)

    if os.path.lexists(target) and not force:
        raise UserError(
            f"{target} exists already: name another file with -o, or replace it with --force."
        )

    given = {} if encoding is None else {"encoding": encoding}
    inspected = inspection.inspect(source, given)
    _check_columns(inspected, text, label)
    choice = choose.choose(inspected, text or [], label)
    for column, role, flag in (
        (choice.text or None, "content", "--text"),
        (choice.label, "label", "--label"),
    ):
        if column is None:
            raise UserError(
                " ".join(
                    [
                        f"No column of {inspected.file} looks like the {role}; name it with"
                        f" {flag}. It has {', '.join(map(repr, inspected.names))}.",
                        *inspected.notes,
                    ]
                )
            )

    if inspected.whole and len(choice.counts) < 2:
        raise UserError(
            f"All rows of {inspected.file} have one class in the column {choice.label!r}; a model"
            " needs two. Name another column with --label, or add data."
        )

    content = write.toml(inspected, choice, configuration.default_name(target))
    # What cannot work is not written.
    example_gen.check(configuration.build(tomllib.loads(content), str(target)).example_gen)
    try:
        target.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror}. Name another file with -o."
        ) from None

    _print(inspected, choice)

    print(f"\nwritten to {target}: read it, and correct what is wrong. Then")
    print(f"  seqline plan {shlex.quote(str(target))}   # what a run would do")
    print(f"  seqline run {shlex.quote(str(target))}    # train, test and publish")


def _check_paths(paths: list[str]) -> None:
    """Checks that one or two names are given, and that they are files or folders of data."""
    from pipeline.cli import chosen
    from seqline.errors import UserError

    if len(paths) > 2:
        raise UserError(
            f"seqline init takes the train data and the test data, not {len(paths)} names; quote a"
            " glob: 'reviews/*.csv'."
        )

    for path in paths:
        if path.endswith(".toml"):
            raise UserError(
                f"{path} is a configuration already; seqline init takes data. `seqline run"
                f" {shlex.quote(path)}` runs it."
            )
        if path.startswith("tfds:"):
            raise UserError(
                f"{path} cannot be inspected before it is downloaded; `seqline run {path}` needs"
                " no configuration."
            )
        chosen.check_that_it_exists(path)


def _check_columns(inspected: "Inspection", text: list[str] | None, label: str | None) -> None:
    """Checks that the columns exist that the flags name."""
    from seqline.errors import UserError
    from seqline.suggest import suggestion

    names = inspected.names
    named = [("--text", column) for column in text or []]
    if label is not None:
        named.append(("--label", label))
    for flag, column in named:
        if column not in names:
            raise UserError(
                f"{flag} {column!r}: {inspected.file} has no such column; it has"
                f" {', '.join(map(repr, names))}.{suggestion(column, names)}"
            )


def _print(inspected: "Inspection", choice: "Choice") -> None:
    form = inspected.kind.upper()
    if inspected.kind == "csv":
        form = f"CSV, columns separated by {inspected.delimiter!r}"
        if not inspected.is_quoted:
            form += ", quotes are text"
    if inspected.kind == "folder":
        form = "a folder of classes"

    files = f"{inspected.num_files:,} files" if inspected.num_files > 1 else inspected.file
    size = f"{inspected.num_bytes / 1e6:.1f} MB"
    rows = f"{inspected.num_rows:,} rows"
    if not inspected.whole:
        rows = f"looked at the first {rows}"

    encoding = f", {inspected.mark or inspected.encoding}" if inspected.is_text else ""
    print(f"data      {files}: {form}{encoding}; {size}, {rows}")
    if not inspected.has_classes:
        print(f"columns   {', '.join(inspected.names)}")
    print(f"content   {' and '.join(choice.text)}: {_content(choice)}")
    if choice.joined:
        print(f"  or      {' and '.join(choice.joined)}, joined")

    for place, (column, counts) in enumerate(choice.labels):
        head = "  or" if place else "label"
        shown = ", ".join(f"{label} {count:,}" for label, count in counts.most_common(5))
        more = f", and {len(counts) - 5} more" if len(counts) > 5 else ""
        print(f"{head:<9} {column}: {len(counts)} classes: {shown}{more}")

    if choice.split is not None:
        print(f"split     {choice.split}")

    if choice.weight is not None:
        print(f"weight    perhaps {choice.weight}: not used")
    if inspected.header:
        print("note      The file has no header: its columns got names by their values.")
    for note in choice.notes:
        print(f"note      {note}")


def _content(choice: "Choice") -> str:
    """`text, Latin script; median 9 tokens, 95th percentile 12`."""
    from pipeline.init.choose import quantile

    unit = "characters" if choice.characters else "tokens"
    if choice.contents.content == "sequence":
        unit = "steps"
    script = f", {choice.script.capitalize()} script" if choice.script else ""

    median = quantile(choice.lengths, 0.5)
    long = quantile(choice.lengths, 0.95)
    return f"{choice.contents.content}{script}; median {median:,} {unit}, 95th percentile {long:,}"


app = usage.single(init)
