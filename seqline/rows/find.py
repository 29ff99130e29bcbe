"""From a source's name to its files, by a path, a glob or a folder. What is not used is counted."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from seqline.errors import UserError
from seqline.rows import folders, unused
from seqline.rows.formats import folder as texts
from seqline.rows.formats import kind_of_name
from seqline.rows.read import kind_of, known_kinds
from seqline.rows.unused import Reason, Unused
from seqline.storage import files, listing, objects
from seqline.storage.files import File
from seqline.storage.listing import WILDCARD, Entry, translate

# Bytes of a name that are not UTF-8, as Python holds them.
NOT_UTF_8 = re.compile("[\udc80-\udcff]")
FILE_URL = re.compile(r"file:(?://(?P<host>[^/]*))?(?=/)")


@dataclass
class Matches:
    """What the pattern of a source matches.

    Attributes:
        entries: Files, or folders to look into. Not both.
        unused: What else it matches.
        beneath: Folder of a bucket -> the objects in it, which one listing found.
    """

    entries: list[Entry]
    unused: list[Unused] = field(default_factory=list)
    beneath: dict[str, list[Entry]] = field(default_factory=dict)


@dataclass
class Selection:
    """The files of a source, or of a part of it, that are read.

    Attributes:
        kind: The NAME of their format.
        files: In the order of their paths.
        unused: The others.
    """

    kind: str
    files: list[File]
    unused: list[Unused]


def location(source: str, section: str) -> str:
    """The path or glob that a source names: `~` and `file://` are resolved.

    Raises:
        UserError: It cannot be read from here.
    """
    name = f"{section}.source {source!r}"
    if "\0" in source:
        raise UserError(f"{name} holds a zero byte, which no path can.")

    if url := FILE_URL.match(source):
        if url["host"] not in (None, "", "localhost"):
            raise UserError(f"{name} names the host {url['host']!r}; write file:///path.")
        path = source[url.end() :]
        return path if os.path.lexists(path) or "%" not in path else unquote(path)

    if problem := objects.problem_of(source):
        raise UserError(f"{name} {problem}, or a data set as tfds:<name>.")

    if source.startswith("~") and not os.path.lexists(source):
        path = os.path.expanduser(source)
        if path == source:
            raise UserError(f"{name} names a user who does not exist; write the whole path.")
        return path
    return source


def match(pattern: str, source: str, section: str) -> Matches:
    """The files that a pattern matches, or the folders if it matches no file.

    Args:
        pattern: A path or a glob.
        source: As the configuration has it, for messages.
        section: Its section.

    Raises:
        UserError: It matches nothing, or something cannot be read.
        DataError: A link leads nowhere.
    """
    matches = _match_remote(pattern) if files.is_remote(pattern) else _match_local(pattern)
    if not matches.entries:
        where = "" if files.is_remote(pattern) else f" under {Path.cwd()}"
        others = unused.warnings(matches.unused, "it")
        raise UserError(" ".join([f"{section}.source {source!r} matches no file{where}.", *others]))
    return matches


def _match_local(pattern: str) -> Matches:
    listed = listing.glob(pattern)
    entries, others = _files_or_folders(listed.entries, pattern)
    return Matches(
        entries,
        [
            *others,
            *folders.hidden(listed),
            *unused.unused(unused.CASE, listed.other_case),
            *unused.unused(unused.ALSO_MATCHED, listed.other),
            *folders.repeated(listed),
        ],
    )


def _match_remote(pattern: str) -> Matches:
    root = pattern.rstrip("/")
    whole = f"(?P<whole>{re.escape(root)}|{translate(root, brackets=True)})"
    wanted = re.compile(f"{whole}(?P<rest>/.*)?", re.DOTALL)
    entries: dict[str, Entry] = {}
    beneath: dict[str, list[Entry]] = {}

    with files.translate_errors(pattern):
        for path, size, content in objects.find(WILDCARD.split(root, maxsplit=1)[0]):
            found = wanted.fullmatch(path)
            if found is None:
                continue

            entry = Entry(path, size, content=content)
            if found["rest"] is None:
                entries[path] = entry
            else:
                top = found["whole"]
                entries.setdefault(top, Entry(top, is_folder=True))
                beneath.setdefault(top, []).append(entry)

    chosen, others = _files_or_folders(sorted(entries.values(), key=lambda entry: entry.path), root)
    return Matches(chosen, others, beneath)


def _files_or_folders(entries: Sequence[Entry], pattern: str) -> tuple[list[Entry], list[Unused]]:
    """(the files, or the folders if no file can be read; the others)."""
    left = []
    names: dict[Reason, list[str]] = {}
    for entry in entries:
        reason = None if entry.path == pattern else _hidden_as(entry, pattern)
        if reason is None:
            left.append(entry)
        else:
            names.setdefault(reason, []).append(entry.shown)
    others = [record for reason in names for record in unused.unused(reason, names[reason])]

    inner = [entry for entry in left if entry.is_folder]
    plain = [entry for entry in left if not entry.is_folder]
    if inner and not any(kind_of_name(entry.path) for entry in plain):
        loose = unused.unused(unused.SUFFIX, (entry.path for entry in plain))
        return inner, [*others, *loose]
    return plain, [*others, *unused.unused(unused.FOLDER, (entry.shown for entry in inner))]


def _hidden_as(entry: Entry, pattern: str) -> Reason | None:
    """Why a glob passes over what it matches: other engines hide it. None for what they show."""
    start = len(WILDCARD.split(pattern, maxsplit=1)[0].rpartition("/")[0])
    below = entry.path[start:]
    if folders.is_marker(below):
        return unused.MARKER

    *outer, name = below.strip("/").split("/")
    is_hidden = "_temporary" in outer or (entry.is_folder and name.startswith("_"))
    return unused.HIDDEN if is_hidden else None


def select(
    entries: Sequence[Entry], matches: Matches, source: str, section: str, labelled: bool
) -> Selection:
    """The files that are read, each once.

    Args:
        entries: Those of the matches that belong together, such as those of one span.
        matches: Where they come from.
        source: As the configuration has it, for messages.
        section: Its section.
        labelled: Whether texts need the folder of a class.

    Raises:
        UserError: They are of several kinds, or of one that cannot be read, or a name is not UTF-8.
        DataError: A folder holds no such files.
    """
    kind = ""
    chosen: list[Entry] = []
    others: list[Unused] = []
    if not entries[0].is_folder:
        kind = _kind(entries, source, section, labelled)
        chosen += entries
    else:
        for entry in entries:
            beneath = matches.beneath.get(entry.path)
            shape = folders.look_into(entry.path.rstrip("/") or "/", beneath, section, labelled)
            if kind and shape.kind != kind:
                raise UserError(
                    f"{section}.source {source!r} matches folders of several kinds, {kind} and"
                    f" {shape.kind} ({unused.printable(entry.path)}); name one kind."
                )
            kind = shape.kind
            chosen += shape.chosen
            others += shape.unused

    distinct, same = _distinct(chosen)
    _check_names(distinct, section)
    empty = [entry for entry in distinct if not entry.size and kind != texts.NAME]
    others += [*same, *unused.unused(unused.EMPTY, (entry.path for entry in empty))]
    return Selection(
        kind,
        [
            File(entry.path, entry.size, entry.content)
            for entry in distinct
            if entry.size or kind == texts.NAME
        ],
        others,
    )


def _kind(entries: Sequence[Entry], source: str, section: str, labelled: bool) -> str:
    """The kind of files that a glob matches."""
    if all(texts.is_text(entry.path) for entry in entries):
        if len({os.path.dirname(entry.path) for entry in entries}) > 1:
            return texts.NAME
        if not labelled and WILDCARD.search(source):
            return texts.NAME

        ways_out = (
            "the folder that holds the folders of their classes" if labelled else "its folder"
        )
        raise UserError(
            f"{section}.source {source!r} matches {unused.printable(entries[0].path)}: a .txt file"
            f" is one text. To read texts, name {ways_out}; if each of its lines is a row, give it"
            f" the ending of its format: {known_kinds()}."
        )
    return kind_of([File(entry.path, entry.size) for entry in entries], source, section)


def _distinct(entries: Sequence[Entry]) -> tuple[list[Entry], list[Unused]]:
    """Each file once: by its own name before a link, then by the first name."""
    by_identity: dict[object, Entry] = {}
    same = []
    for entry in sorted(entries, key=lambda entry: (entry.via_link, entry.path)):
        first = by_identity.setdefault(entry.identity or entry.path, entry)
        if first is not entry:
            same.append((entry.path, first.path))

    names = (f"{name} (that is {first})" for name, first in sorted(same))
    chosen = sorted(by_identity.values(), key=lambda entry: entry.path)
    return chosen, unused.unused(unused.SAME, names)


def _check_names(entries: Sequence[Entry], section: str) -> None:
    """Refuses names that cannot be written beside rows, into JSON and protocol buffers.

    Raises:
        UserError: The bytes of a name are not UTF-8.
    """
    for entry in entries:
        if not entry.path.isascii() and NOT_UTF_8.search(entry.path):
            raise UserError(
                f"{section}.source: the name of the file {entry.path!r} is not UTF-8. Rename it, or"
                " its folder: the places of rows are written with the names of their files."
            )
