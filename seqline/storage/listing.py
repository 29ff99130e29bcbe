"""Local files as a glob or a folder lists them. Nothing is passed over without a word.

A link to nowhere, a folder that cannot be read, a pipe or a device is an error. A folder that is
reached in two ways, as by a link to one of its parents, is listed once. Names that begin with a dot
match no wildcard; they are listed as hidden.
"""

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from seqline.errors import DataError, UserError

WILDCARD = re.compile(r"[*?\[]")
# (device, inode)
Identity = tuple[int, int]


@dataclass(frozen=True)
class Entry:
    """A file or a folder.

    Attributes:
        path: As the pattern or the folder spells it.
        size: Bytes.
        identity: The same for two names of one file. None in a bucket, which has no links.
        via_link: Whether a part of the path that was found, and not given, is a symbolic link.
        is_folder: Whether it is a folder.
        content: The digest of the content, where it is known without reading it (a bucket).
    """

    path: str
    size: int = 0
    identity: Identity | None = None
    via_link: bool = False
    is_folder: bool = False
    content: str | None = None

    @property
    def shown(self) -> str:
        """The path; that of a folder ends in a slash."""
        return f"{self.path.rstrip('/')}/" if self.is_folder else self.path


@dataclass
class Listing:
    """What was found.

    Attributes:
        entries: Files, and the folders that a glob matches, in the order of their paths.
        hidden: Files that would match if a name did not begin with a dot.
        other_case: Files that would match if letters were upper or lower case.
        other: Files that match a glob which is the name of a file, too.
        repeated: Folders that were listed under another name, and that name.
    """

    entries: list[Entry] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    other_case: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    repeated: list[tuple[str, str]] = field(default_factory=list)

    @property
    def files(self) -> list[Entry]:
        return [entry for entry in self.entries if not entry.is_folder]

    @property
    def folders(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.is_folder]


def glob(pattern: str) -> Listing:
    """What a local name or a glob with `*`, `?`, `[...]` and `**` matches.

    A path that exists is taken as it is. A bracket also stands for itself.

    Raises:
        UserError: A folder or a file cannot be read, or is neither.
        DataError: A link leads nowhere.
    """
    listing = Listing()
    wildcard = WILDCARD.search(pattern)
    if wildcard:
        start = pattern.rfind("/", 0, wildcard.start()) + 1
        names = re.split("/+", pattern[start:])
        slashes = re.findall("/+", pattern[start:])
        base = pattern[:start]
        if os.path.isdir(base or "."):
            _match(_entry(base or ".", False, base), names, [*slashes, ""], listing)

    if os.path.lexists(pattern):
        others = [entry.path for entry in listing.files if entry.path != pattern]
        listing = Listing([_entry(pattern, False)], other=others)

    listing.entries.sort(key=lambda entry: entry.path)
    return listing


def walk(folder: str) -> Listing:
    """All files beneath a folder.

    Raises:
        UserError, DataError: See `glob`.
    """
    listing = Listing()
    for directory in _folders(_entry(folder, False), listing):
        for child in _children(directory.path):
            path = _join(directory.path, child.name)
            if not child.name.startswith("."):
                entry = _entry(path, directory.via_link or child.is_symlink())
                listing.entries += [] if entry.is_folder else [entry]
            elif not _is_folder(child):
                listing.hidden.append(path)

    listing.entries.sort(key=lambda entry: entry.path)
    listing.hidden.sort()
    return listing


def translate(pattern: str, brackets: bool = False) -> str:
    """The regular expression of a glob, or of a part of one that cuts no wildcard in two.

    Args:
        pattern: The glob.
        brackets: Whether `[...]` also stands for itself, as in the name of a folder.
    """
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", pattern, re.DOTALL):
        if token.startswith("[") and len(token) > 1:
            one = fnmatch.translate(token).removeprefix("(?s:").removesuffix(r")\Z")
            parts.append(f"(?:{one}|{re.escape(token)})" if brackets else one)
        else:
            parts.append(wildcards.get(token) or re.escape(token))
    return "".join(parts)


def _match(folder: Entry, names: list[str], slashes: list[str], listing: Listing) -> None:
    """Adds what the rest of a pattern matches in a folder.

    Args:
        folder: Where.
        names: The parts of the pattern that are left, with their wildcards.
        slashes: Those after each of them.
        listing: Gains the matches.
    """
    name, *rest = names
    if not rest and not name:  # the pattern ends in a slash
        listing.entries.append(folder)
    elif name == "**":
        # All files beneath where nothing follows, as Python's glob has it; else all folders.
        for inner in _folders(folder, listing, names):
            if rest:
                _match(inner, rest, slashes[1:], listing)
            else:
                _add_named(inner, "*", listing, with_folders=False)
    elif rest:
        for inner in _folders_named(folder, names, listing):
            path = f"{inner.path}{slashes[0]}" if slashes[0] != "/" else inner.path
            _match(replace(inner, path=path), rest, slashes[1:], listing)
    else:
        _add_named(folder, name, listing)


def _add_named(folder: Entry, name: str, listing: Listing, with_folders: bool = True) -> None:
    """Adds the files and folders in a folder whose names match."""
    wanted, caseless = (
        re.compile(translate(name, brackets=True), re.DOTALL | flags) for flags in (0, re.I)
    )
    for child in _children(folder.path):
        path = _join(folder.path, child.name)
        is_folder = _is_folder(child)
        if not wanted.fullmatch(child.name):
            if caseless.fullmatch(child.name) and not is_folder:
                listing.other_case.append(path)
        elif child.name.startswith(".") and not name.startswith("."):
            listing.hidden += [] if is_folder else [path]
        elif with_folders or not is_folder:
            listing.entries.append(_entry(path, folder.via_link or child.is_symlink()))


def _folders_named(folder: Entry, names: list[str], listing: Listing) -> Iterator[Entry]:
    """The folders in a folder that match the first of these names.

    What the other names match in hidden ones is listed as hidden.
    """
    wanted = re.compile(translate(names[0], brackets=True), re.DOTALL)
    for child in _children(folder.path):
        path = _join(folder.path, child.name)
        if not wanted.fullmatch(child.name):
            continue
        if not _is_folder(child):
            if child.is_symlink() and not os.path.exists(path):
                _entry(path, True)  # It might have been a folder: an error says that it is gone.
        elif child.name.startswith(".") and not names[0].startswith("."):
            _add_hidden(path, names[1:], listing)
        else:
            yield _entry(path, folder.via_link or child.is_symlink())


def _folders(top: Entry, listing: Listing, names: list[str] | None = None) -> Iterator[Entry]:
    """A folder and all folders beneath, each once: by its own path before any link to it.

    Args:
        top: The folder.
        listing: Gains what is in hidden folders, and the folders that have two names.
        names: What is wanted in each of them. None for all files.
    """
    seen: dict[Identity | None, str] = {}
    left = [top]
    links: list[Entry] = []
    while left or links:
        folder = left.pop() if left else links.pop(0)
        if folder.identity in seen:
            listing.repeated.append((folder.path, seen[folder.identity]))
            continue

        seen[folder.identity] = folder.path
        yield folder
        for child in reversed(_children(folder.path)):
            path = _join(folder.path, child.name)
            if not _is_folder(child):
                continue
            if child.name.startswith("."):
                _add_hidden(path, names or ["**"], listing)
            elif child.is_symlink():
                links.append(_entry(path, True))
            else:
                left.append(_entry(path, folder.via_link))
        links.sort(key=lambda entry: entry.path)


def _add_hidden(path: str, names: list[str], listing: Listing) -> None:
    """Adds the files in a hidden folder. It is no error that they cannot be read."""
    inner = Listing()
    with suppress(UserError):
        _match(_entry(path, False), names, ["/"] * len(names), inner)
    listing.hidden += [entry.path for entry in inner.files] + inner.hidden


def _children(folder: str) -> list["os.DirEntry[str]"]:
    """The entries of a folder in the order of their names."""
    try:
        with os.scandir(folder or ".") as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(folder or ".", error) from error


def _is_folder(child: "os.DirEntry[str]") -> bool:
    """Whether it is a folder, or a link to one."""
    return os.path.isdir(child.path) if child.is_symlink() else child.is_dir()


def _join(folder: str, name: str) -> str:
    return f"{folder}{name}" if not folder or folder.endswith("/") else f"{folder}/{name}"


def _entry(path: str, via_link: bool, shown: str | None = None) -> Entry:
    """The file or the folder of this name.

    Args:
        path: Its path.
        via_link: See `Entry`.
        shown: Its path in the entry, if that is another one.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            raise _broken_link(path, error) from error
        raise _unreadable(path, error) from error

    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder and not stat.S_ISREG(status.st_mode):
        raise UserError(
            f"{path!r} is {_special(status.st_mode)} and not a file. Write the rows into a file"
            " first, or move it out of the source."
        )
    size = 0 if is_folder else status.st_size
    identity = (status.st_dev, status.st_ino)
    return Entry(path if shown is None else shown, size, identity, via_link, is_folder)


def _special(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _broken_link(path: str, error: OSError) -> UserError:
    target = os.readlink(path)
    if error.errno == errno.ELOOP:
        return DataError(f"{path!r} is a link that leads back to itself. Remove it.")
    if error.errno == errno.EACCES:
        return _unreadable(path, error)
    return DataError(
        f"{path!r} is a link to {target!r}, which does not exist. Put the file back, or remove the"
        " link."
    )


def _unreadable(path: str, error: OSError) -> UserError:
    if isinstance(error, PermissionError):
        return UserError(
            f"{path!r} cannot be read ({error.strerror}). Give this user the right to read it, or"
            " move it out of the source."
        )
    return DataError(f"{path!r} cannot be read: {error.strerror or error}.")
