"""Printing to a terminal, where lines are wrapped, and to a pipe, where they are not."""

import os

from rich.console import Console
from rich.table import Table
from rich.text import Text

# On a terminal of fewer columns, a text has lines of its own under its head.
NARROW = 60
# A character that no text has. It stands for a space at which no line may end.
GLUE = "\ue000"


def writes_in_place(console: Console) -> bool:
    """Whether the console is a terminal that can go back to a line.

    A CI log that pretends to be a terminal, to have colours, cannot.
    """
    return is_screen(console) and not console.is_dumb_terminal and not os.environ.get("CI")


def is_screen(console: Console) -> bool:
    """Whether lines end where a terminal's do."""
    return console.is_terminal and console.file.isatty()


def print_line(console: Console, text: Text | str) -> None:
    """Prints a line without wrapping it, for pipes and for what is copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def print_hanging(console: Console, head: Text, body: Text, indent: int) -> None:
    """Prints a text after its head.

    On a terminal the text is wrapped between words, and its next lines are indented.

    Args:
        console: where to print.
        head: the beginning of the first line.
        body: the text.
        indent: columns before the next lines.
    """
    if not is_screen(console):
        print_line(console, Text.assemble(head, body))
        return

    # A flag and its value are to be copied from one line.
    body.plain = body.plain.replace("--set ", f"--set{GLUE}")
    width = console.width
    if width < NARROW and indent > 4:
        print_line(console, Text(" ".join(head.plain.split()), head.style))
        head, indent = Text("  "), 2

    for number, line in enumerate(body.wrap(console, max(10, width - indent))):
        line.plain = line.plain.replace(GLUE, " ").rstrip()
        console.print(
            Text.assemble(head if number == 0 else " " * indent, line),
            no_wrap=True,
            overflow="ignore",
            crop=False,
        )


def plain_table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """A table without lines, whose cells are folded and not cut.

    Args:
        columns: the names of the columns.
        right: the columns that are aligned to the right.
    """
    table = Table(show_edge=False, pad_edge=False, box=None, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table
