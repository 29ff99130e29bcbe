"""`seqline init`: says what it saw in a few lines, and what to do next."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import usage
from pipeline.cli.options import Label, Text

if TYPE_CHECKING:
    from pipeline.init.choose import Choice
    from pipeline.init.look import Found


def init(
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help=(
                "a CSV, TSV, JSONL, TFRecord or Parquet file, a glob, or a folder of classes; a"
                " second one is the test data"
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
    force: Annotated[bool, typer.Option("--force", help="replace the file if it exists")] = False,
) -> None:
    """Look at data and write a configuration for it, with comments and a threshold for every gate.

    Reads the beginning of the data: format, encoding, delimiter, columns, which of them may be the
    label, script and lengths.
    """
    from pipeline import config as configuration
    from pipeline.cli import chosen
    from pipeline.init import choose, look, write
    from seqline.errors import UserError
    from seqline.suggest import suggestion

    paths = [*data, *([test] if test else [])]
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
                f"{path} cannot be looked at before it is downloaded; seqline run {path} does"
                " without a configuration."
            )
        chosen.check_that_it_exists(path)
    source = paths[0] if len(paths) == 1 else {"train": paths[0], "test": paths[1]}
    file_name = look.stem(paths[0])
    target = Path(output) if output else Path(file_name.name)
    if os.path.lexists(target) and not force:
        raise UserError(
            f"{target} exists already: name another file with -o, or replace it with --force."
        )
    found = look.look(source)
    for flag, name in (("--text", text), ("--label", label)):
        if name is not None and name not in found.names:
            raise UserError(
                f"{flag} {name!r}: {found.file} has no such column; it has"
                f" {', '.join(map(repr, found.names))}.{suggestion(name, found.names)}"
            )
    choice = choose.choose(found, text, label)
    for column, flag in ((choice.text, "--text"), (choice.label, "--label")):
        if column is None:
            raise UserError(
                f"No column of {found.file} looks like it; name it with {flag}. It has"
                f" {', '.join(map(repr, found.names))}."
            )
    try:
        target.write_text(
            write.toml(found, choice, configuration.default_name(target)), encoding="utf-8"
        )
    except OSError as error:
        raise UserError(
            f"{target} cannot be written: {error.strerror}. Name another file with -o."
        ) from None
    configuration.load(str(target))
    _say(found, choice)
    print(f"\nwritten to {target}: read it, and correct what is wrong. Then")
    print(f"  seqline plan {shlex.quote(str(target))}   # what a run would do")
    print(f"  seqline run {shlex.quote(str(target))}    # train, test and publish")


def _say(found: "Found", choice: "Choice") -> None:
    from pipeline.init.choose import quantile

    form = {
        "csv": f"CSV, columns separated by {found.delimiter!r}",
        "folder": "a folder of classes",
    }.get(found.kind, found.kind.upper())
    number = f"{found.num_files:,} files" if found.num_files > 1 else found.file
    rows = (
        f"{found.num_rows:,} rows"
        if found.whole
        else f"looked at the first {found.num_rows:,} rows"
    )
    print(f"data      {number}: {form}, {found.encoding}; {found.num_bytes / 1e6:.1f} MB, {rows}")
    if not found.has_classes:
        print(f"columns   {', '.join(found.names)}")
    unit = (
        "steps"
        if choice.contents.content == "sequence"
        else "characters"
        if choice.characters
        else "tokens"
    )
    script = f", {choice.script.capitalize()} script" if choice.script else ""
    lengths = (
        f"{quantile(choice.lengths, 0.5):,} {unit}, 1 of 20 more than"
        f" {quantile(choice.lengths, 0.95):,}"
    )
    print(f"content   {choice.text}: {choice.contents.content}{script}; median {lengths}")
    for place, (name, counts) in enumerate(choice.labels):
        shown = ", ".join(f"{label} {count:,}" for label, count in counts.most_common(5))
        more = f", and {len(counts) - 5} more" if len(counts) > 5 else ""
        print(f"{'label' if not place else '  or':<9} {name}: {len(counts)} classes: {shown}{more}")
    rare = [label for label, count in choice.counts.items() if count < 2]
    if rare:
        print(f"note      {len(rare)} classes have one row: {', '.join(rare[:5])}")
    for note in found.notes:
        print(f"note      {note}")


app = usage.single(init)
