"""What a push records about a version, and whether the version's files are still those.

The server has the same rules of its own (serving/verify.py). They find damage and careless edits:
whoever can write the folder can write the manifest, too. Imports nothing heavy.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from seqline.errors import DataError, UserError
from seqline.model.digest import MANIFEST, OF_A_PUSH, digest_of, sha256
from seqline.storage import records

SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """assets.extra/manifest.json of a version.

    Attributes:
        digest: The model's, see `seqline.model.digest`.
        files: The SHA-256 of each of the model's files, by its relative path.
        beside: The same for the files that the push added, but for the manifest.
        pushed: When it was pushed.
        model_name: The model's name in models.config.
        name: The model's name, None if it has none.
        rollback_of: For a rollback, the version whose files these are.
        instead_of: For a rollback, the digest of the model that was the newest before.
        card_texts: The SHA-256 of what a person wrote for the model card; None for nothing.
    """

    digest: str
    files: dict[str, str]
    beside: dict[str, str] = field(default_factory=dict)
    pushed: str | None = None
    model_name: str | None = None
    name: str | None = None
    rollback_of: int | None = None
    instead_of: str | None = None
    card_texts: str | None = None

    @classmethod
    def parse(cls, content: bytes, place: str) -> "Manifest":
        """Reads a manifest.

        Args:
            content: That of the file.
            place: The version's folder, local or under gs://, for an error.

        Raises:
            UserError: The file is damaged.
        """
        path, way_out = f"{place}/{MANIFEST}", _way_out(place)
        manifest = records.parse(cls, records.parse_object(content, path, way_out), path, way_out)
        for table in ("files", "beside"):
            if not all(map(SHA256.fullmatch, getattr(manifest, table).values())):
                raise records.damaged(path, f"{table} is no table of SHA-256s", way_out)
        if not manifest.files or manifest.digest != digest_of(manifest.files):
            raise records.damaged(path, "digest is not that of files", way_out)
        return manifest


def _way_out(place: str) -> str:
    base = place.rpartition("/")[0]
    return (
        f"Roll back to another version (seqline rollback --serving-dir {base} --to ...), or remove"
        f" {place}."
    )


@dataclass(frozen=True)
class Damage:
    """A file of a pushed version that is not what was pushed.

    Attributes:
        file: Its relative path.
        problem: What is wrong with it, the rest of a sentence.
    """

    file: str
    problem: str

    def __str__(self) -> str:
        return f"{self.file} {self.problem}"


def check(folder: Path, place: str | Path | None = None) -> None:
    """Checks that a version is what was pushed. A model that was not pushed passes.

    Args:
        folder: Its local folder.
        place: Where the version is, for an error; None for the folder itself.

    Raises:
        DataError: It is not.
    """
    if damage := damage_of(folder):
        place = str(place or folder)
        raise DataError(f"{place}/{damage}. {_way_out(place)}")


def damage_of(folder: Path) -> Damage | None:
    """The first file that is not what was pushed; None if all are, or if nothing was pushed.

    Files that are hidden and that the manifest does not name are passed over: TensorFlow reads none
    of them, and file systems make some.
    """
    if not any(os.path.lexists(folder / name) for name in OF_A_PUSH):
        return None

    try:
        return next(_damages(folder), None)
    except OSError as error:
        name = str(error.filename or folder).removeprefix(f"{folder}/")
        return Damage(name, f"cannot be read ({error.strerror or error})")


def _damages(folder: Path) -> Iterator[Damage]:
    names = set()
    for place, folders, files in os.walk(folder, onerror=_raise):
        for entry in sorted([*folders, *files]):
            path = Path(place, entry)
            name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISREG(mode):
                names.add(name)
            elif not stat.S_ISDIR(mode) and not _is_hidden(name):
                kind = "a symlink" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                yield Damage(name, f"is {kind}; a version holds files only")

    if MANIFEST not in names:
        yield Damage(MANIFEST, "is missing")
        return
    try:
        manifest = Manifest.parse((folder / MANIFEST).read_bytes(), str(folder))
    except UserError as error:
        problem = str(error).removeprefix(f"{folder}/{MANIFEST} ").partition("). ")[0]
        yield Damage(MANIFEST, f"{problem})")
        return

    expected = {**manifest.files, **manifest.beside}
    for name in sorted({*names, *expected} - {MANIFEST}):
        if name not in names:
            yield Damage(name, "is missing")
        elif name not in expected:
            if not _is_hidden(name):
                yield Damage(name, "was added after the push")
        elif sha256(folder / name) != expected[name]:
            yield Damage(name, "is not what was pushed: its SHA-256 is another")


def _raise(error: OSError) -> None:
    raise error


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
