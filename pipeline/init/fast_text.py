"""Files that hold a row a line, in ways that have no format: lines of fastText, and other names."""

import json
import os
import shlex
from collections.abc import Sequence
from itertools import islice

from seqline.errors import UserError
from seqline.rows import dialect, encodings
from seqline.rows.dialect import Dialect
from seqline.rows.formats import kind_of_name
from seqline.storage import files

MARK = "__label__"
NUM_LINES = 100
# Writes lines of fastText as a table with a header. A tab within a text becomes a blank.
TO_TSV = (
    'BEGIN {print "label\\ttext"} {gsub(/\\t/, " "); label = substr($1, 10);'
    ' sub(/^[^ ]+ +/, ""); print label "\\t" $0}'
)


def refuse(lines: Sequence[str], path: str) -> None:
    """Refuses lines of fastText, `__label__good a fine film`.

    Raises:
        UserError: They are. The message has the command that writes them as a table.
    """
    shown = [line for line in lines[:NUM_LINES] if line.strip()]
    if not shown or sum(line.startswith(MARK) for line in shown) < 0.9 * len(shown):
        return

    target = f"{_stem(path)}_rows.tsv"
    several = ""
    if any(f" {MARK}" in line for line in shown):
        several = " Some have several labels: the first one is taken, so remove the others before."
    raise UserError(
        f"{path} holds lines of fastText, {MARK}<label> and a text. Write them as a table:"
        f" awk '{TO_TSV}' {shlex.quote(path)} > {shlex.quote(target)}{several}"
    )


def refuse_other_names(source: str) -> None:
    """Refuses a single file whose name does not tell its format, if its lines do.

    Raises:
        UserError: They do. The message has the command that gives it a name.
    """
    if not os.path.isfile(source) or kind_of_name(source) is not None:
        return

    with (
        files.translate_errors(source),
        encodings.open_text(files.open_content(source), "utf-8") as text,
    ):
        lines = [line for line in islice(text, NUM_LINES) if line.strip()]
    refuse(lines, source)
    suffix = _suffix(lines)
    if suffix:
        target = f"{_stem(source)}{suffix}"
        kind = {".jsonl": "JSON", ".tsv": "columns by tabs"}.get(suffix, "columns")
        raise UserError(
            f"{source} holds {kind}, and its name does not say so. Give it a name that does:"
            f" cp {shlex.quote(source)} {shlex.quote(target)}"
        )


def _stem(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, name.split(".")[0] or "data")


def _suffix(lines: Sequence[str]) -> str:
    """The suffix of the format that lines have; empty where none is plain."""
    if not lines:
        return ""
    try:
        if isinstance(json.loads(lines[0]), dict):
            return ".jsonl"
    except ValueError:
        pass

    for delimiter, suffix in (("\t", ".tsv"), (",", ".csv"), (";", ".csv"), ("|", ".csv")):
        rows = dialect.rows_of(Dialect(delimiter), lines)
        if len(rows) > 1 and len(rows[0]) > 1 and {len(row) for row in rows} == {len(rows[0])}:
            return suffix
    return ""
