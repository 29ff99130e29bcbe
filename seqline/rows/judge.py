"""Decides whether the values of a row's columns are a usable row.

Plain Python, no TensorFlow, no Beam.
"""

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

from seqline.errors import UserError
from seqline.rows.row import BadRow, Row, RowFormat, partitions_of
from seqline.rows.values import (
    NULL,
    Labels,
    NormalLabel,
    UnusableError,
    encode_text,
    encode_tokens,
    from_json,
    label_string,
    short,
    split_name,
    to_floats,
    to_json,
    to_weight,
)
from seqline.suggest import suggestion

# (values of RowFormat.columns, file, line) -> the row, usable or bad.
Judge = Callable[[Sequence[Any], str, int], Row | BadRow]
# Columns that a message lists, at most.
MAX_LISTED = 40

NO_LABEL: NormalLabel = (b"", None)


def judge(format_: RowFormat, flat: bool = False) -> Judge:
    """The function that judges the rows of a file.

    Bytes that cannot be decoded reach it as lone surrogates.

    Args:
        format_: How rows are read.
        flat: Whether a list is written as one string, as in a CSV file: tokens between white space,
            a sequence as JSON.
    """
    encode = _encoder(format_, flat)
    labels = Labels()

    def judge_labelled(values: Sequence[Any], file: str, line: int) -> Row | BadRow:
        try:
            content, label = values
            name = label if type(label) is str else label_string(label)
            normal, as_written = labels[name]
            return Row(encode(content), normal, file, line, (), None, 1.0, as_written)
        except UnusableError as error:
            return BadRow(file, line, *error.args)

    # Most sources have these two columns: their rows take the short way.
    if format_.wanted == format_.columns == (format_.text[0], format_.label):
        return judge_labelled
    return _judge_any(format_, encode, labels, flat)


def _judge_any(
    format_: RowFormat, encode: Callable[[Any], Any], labels: Labels, flat: bool
) -> Judge:
    """See `judge`: with several contents, constants, splits, weights, columns to keep."""
    num_texts = len(format_.text)
    constants = dict(format_.constants)
    # Where the value of each wanted column is: its place in the file's columns, or a constant.
    places = [
        (None, constants[name]) if name in constants else (format_.columns.index(name), None)
        for name in format_.wanted
    ]

    def judge_any(values: Sequence[Any], file: str, line: int) -> Row | BadRow:
        whole = [value if place is None else values[place] for place, value in places]
        others = iter(whole[num_texts:])

        try:
            content = whole[0] if num_texts == 1 else _joined(whole, format_, flat)
            label, as_written = NO_LABEL
            if format_.label is not None:
                label, as_written = labels[label_string(next(others))]
            split = None if format_.split is None else split_name(next(others))
            weight = 1.0 if format_.weight is None else to_weight(next(others))
            kept = tuple([to_json(value) for value in others])
            return Row(encode(content), label, file, line, kept, split, weight, as_written)
        except UnusableError as error:
            return BadRow(file, line, *error.args)

    return judge_any


def _joined(values: Sequence[Any], format_: RowFormat, flat: bool) -> Any:
    """The contents of several columns as one. Columns without a content are passed over.

    Args:
        values: The values of a row, those of the contents first.
        format_: How rows are read.
        flat: As in `judge`.

    Raises:
        UnusableError: Some of them are no contents. It names the first column of these.
    """
    named = zip(format_.text, values, strict=False)
    filled = [(name, value) for name, value in named if value not in (None, "", NULL)]
    if not filled:
        return values[0]

    is_list = format_.content == "tokens" and not flat
    for name, value in filled:
        if not isinstance(value, list if is_list else str):
            kind = "a list of strings" if is_list else "a string"
            raise UnusableError(f"the content in {name!r} is {short(value)}, not {kind}", "type")
    if is_list:
        return [token for _, value in filled for token in value]
    return " ".join([value for _, value in filled])


def _encoder(format_: RowFormat, flat: bool) -> Callable[[Any], Any]:
    """The function that turns the value of the content's column into `Row.content`."""
    if format_.content == "tokens":
        return (lambda content: encode_tokens(content.split())) if flat else encode_tokens
    if format_.content == "sequence":
        dim, name = format_.dim, format_.dim_name
        if flat:
            return lambda content: to_floats(from_json(content), dim, name)
        return lambda content: to_floats(content, dim, name)
    return (lambda content: encode_text(content, True)) if format_.empty_text else encode_text


# Helpers of the formats


def pick(places: Sequence[Any]) -> Callable[[Any], Sequence[Any]]:
    """The function that returns the values at these indexes or keys of a row, as a sequence."""
    return itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],)


def decoded(value: Any) -> Any:
    """A value with strings for bytes, also in lists.

    Bytes that are not UTF-8 become lone surrogates, which `judge` reports.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="surrogateescape")
    return [decoded(element) for element in value] if isinstance(value, list) else value


def undecodable(error: UnicodeDecodeError, path: str, line: int, encoding: str) -> BadRow:
    """A bad row with bytes that are not in the source's encoding."""
    reason = f"not valid {encoding}: byte {error.start} is 0x{error.object[error.start]:02x}"
    return BadRow(path, line, reason, "encoding")


def missing(name: str, format_: RowFormat, path: str, line: int, noun: str) -> BadRow:
    """A bad row without a field that others have; `noun` is the format's word for a field."""
    problem = "missing text" if name in format_.text else "missing label"
    return BadRow(path, line, f"no {noun} {name!r}", problem)


def require(names: Sequence[str], path: str, format_: RowFormat, noun: str = "column") -> None:
    """Checks that a file has the columns that are read.

    Args:
        names: The columns of the file.
        path: The file.
        format_: How its rows are read.
        noun: What the format calls a column.

    Raises:
        UserError: It lacks one, and the message suggests the column that may be meant; or its path
            names one that it has itself.
    """
    refuse_doubled(names, path, format_, noun)
    if set(format_.columns) - set(names):
        raise lack(names, path, format_, noun)


def refuse_doubled(
    names: Iterable[str], path: str, format_: RowFormat, noun: str = "column"
) -> None:
    """Raises UserError if a file has a column that its path names, too. See `require`."""
    own = set(names)
    for name, value in format_.constants:
        # A folder far above the source may happen to be called so: neither is certain.
        if name in own:
            raise UserError(
                f"{path} has a {noun} {name!r} of its own, and its path names one,"
                f" {name}={value}. Rename the folder or the {noun}."
            )


def lack(
    names: Sequence[str],
    path: str,
    format_: RowFormat,
    noun: str = "column",
    advice: str = "",
    otherwise: str = "",
) -> UserError:
    """The error for a file that lacks a column that is read.

    Args:
        names: The columns of the file.
        path: The file.
        format_: How its rows are read.
        noun: What the format calls a column.
        advice: What is wrong and what to do, if that is known. By default the columns are listed.
        otherwise: A sentence that is added where no column's name is near.
    """
    fields = [("text", name) for name in format_.text]
    single = (("label", format_.label), ("split", format_.split), ("weight", format_.weight))
    fields += [(field, name) for field, name in single if name is not None]
    fields += [("keep", name) for name in format_.keep]
    field, name = next(
        (field, name) for field, name in fields if name in format_.columns and name not in names
    )

    setting = f"{format_.section}.{field}"
    subject = f"{path} has no {noun} {name!r} ({setting})"
    if advice:
        return UserError(f"{subject}; {advice}.")

    # Folders `Label=pos/` are columns, too.
    in_path = [each for each in partitions_of(path) if each not in names]
    if not names and not in_path:
        return UserError(f"{subject}; it has none. Write the file again with its {noun}s.")

    listed = ", ".join(map(repr, names[:MAX_LISTED])) or "none"
    if len(names) > MAX_LISTED:
        listed += f" and {len(names) - MAX_LISTED:,} more"
    if in_path:
        listed += f", and {', '.join(map(repr, in_path))} in its path"
    hint = _nested(name, names) or suggestion(name, [*names, *in_path])
    way_out = f"Set {setting} to one of them.{'' if hint else otherwise}"
    return UserError(f"{subject}; it has {listed}.{hint} {way_out}")


def _nested(name: str, names: Sequence[str]) -> str:
    """The hint for a name that is that of a nested field; empty where none has it."""
    nested = next((other for other in names if other.endswith(f".{name}")), None)
    return "" if nested is None else f" Did you mean {nested!r}?"
