"""Finds the version that a model is compared with, and the digest of its content.

Imports nothing heavy.
"""

import glob
import logging
from dataclasses import dataclass
from pathlib import Path

from seqline.digests import digest
from seqline.errors import DataError
from seqline.model import identity, pushed
from seqline.model.digest import MANIFEST, digest_of, sha256_of_files
from seqline.storage import files
from seqline.storage.staging import local_copy, path_of

log = logging.getLogger("seqline.evaluator")


@dataclass(frozen=True)
class ServedVersion:
    """A version under serving_dir.

    Attributes:
        version: Its number.
        uri: Its folder, local or under gs://.
        digest: The digest of its content.
    """

    version: int
    uri: str
    digest: str


def find(
    serving_dir: str | None, saved_model: Path, memory: Path | None = None
) -> ServedVersion | None:
    """The newest version whose content is not the SavedModel's, or None.

    A model that has been pushed is so compared with the version that it replaced, before the push
    and after it. The evaluation of a finished run stays as it is.

    Args:
        serving_dir: The folder with the versions, or None if nothing is served.
        saved_model: The candidate.
        memory: A file that remembers the digests of files without a manifest.

    Raises:
        UserError: A manifest is damaged.
        DataError: There are such versions, and none of them is what was pushed.
    """
    if not serving_dir:
        return None

    place = serving_dir.rstrip("/")
    versions: dict[int, str] = {}
    for file in files.match(f"{glob.escape(place)}/*/saved_model.pb"):
        folder = file.path.removesuffix("/saved_model.pb")
        name = folder.rpartition("/")[2]
        # As the server reads names: a 64 bit integer, and of 12 and 0012 the shorter one.
        if name.isascii() and name.isdigit() and int(name) < 1 << 63:
            versions[int(name)] = min(folder, versions.get(int(name), folder), key=len)

    own = digest_of(sha256_of_files(local_copy(saved_model))) if versions else ""
    damaged = None
    for version, uri in sorted(versions.items(), reverse=True):
        content = _digest_of_version(uri, memory)
        if content == own:
            continue

        try:
            pushed.check(local_copy(path_of(uri)), uri)
        except DataError as error:  # a server passes it over, too
            damaged = damaged or error
            log.warning("version %d is passed over: %s", version, error)
        else:
            return ServedVersion(version, uri, content)

    if damaged:
        raise damaged
    return None


def differences(served: ServedVersion, saved_model: Path, name: str | None) -> str:
    """The reasons why a version is another model than the candidate, which has this name.

    Empty if it is a version of the same model, so that the two can be compared.
    """
    candidate = identity.of_folder(saved_model, name)
    return " and ".join(identity.differences(candidate, identity.of_folder(served.uri)))


def _digest_of_version(uri: str, memory: Path | None) -> str:
    """The digest in its manifest, or of its files if it was not pushed by seqline."""
    path = f"{uri}/{MANIFEST}"
    if files.match(glob.escape(path)):
        with files.translate_errors(path), files.open_file(path) as file:
            return pushed.Manifest.parse(file.read(), uri).digest

    with files.digest_cache(memory) as cache:
        contents = [
            (file.path.removeprefix(uri), files.digest(file, cache))
            for file in files.match(f"{glob.escape(uri)}/**")
        ]
        return digest(contents)
