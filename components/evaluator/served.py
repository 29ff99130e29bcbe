"""The version being served: where it lies, and the digest of its content. Imports nothing heavy."""

import glob
import json
from dataclasses import dataclass
from pathlib import Path

from seqline.digests import digest
from seqline.model import identity
from seqline.model.digest import MANIFEST, digest_of, sha256_of_files
from seqline.storage import files
from seqline.storage.staging import local_copy


@dataclass(frozen=True)
class Served:
    """A version under serving_dir. uri: its folder, local or under gs://."""

    version: int
    uri: str
    digest: str


def find(serving_dir: str | None, saved_model: Path, memory: Path | None = None) -> Served | None:
    """The newest version whose content is not the SavedModel's; None where there is none.

    A model that was pushed already is so compared with the version that it replaced, before the
    push and after it: the evaluation of a finished run stays as it is. memory: where digests of
    files without a manifest are remembered.
    """
    if not serving_dir:
        return None
    place = serving_dir.rstrip("/")
    folders = {
        file.path.removesuffix("/saved_model.pb")
        for file in files.match(f"{glob.escape(place)}/*/saved_model.pb")
    }
    names = {folder: folder.rpartition("/")[2] for folder in folders}
    versions = {
        int(name): folder for folder, name in names.items() if name.isascii() and name.isdigit()
    }
    own = digest_of(sha256_of_files(local_copy(saved_model))) if versions else ""
    for version, uri in sorted(versions.items(), reverse=True):
        content = _digest_of_version(uri, memory)
        if content != own:
            return Served(version, uri, content)
    return None


def another_model(served: Served, saved_model: Path, name: str | None) -> str:
    """Why a version is not one of the same model as the SavedModel, which it is then not compared
    with; empty where it is one.
    """
    candidate = identity.of_folder(saved_model, name)
    return " and ".join(identity.differences(candidate, identity.of_folder(served.uri)))


def _digest_of_version(uri: str, memory: Path | None) -> str:
    """From its manifest; from its files where somebody else put it there."""
    path = f"{uri}/{MANIFEST}"
    if files.match(glob.escape(path)):
        try:
            with files.translate_errors(path), files.open_file(path) as file:
                return str(json.loads(file.read())["digest"])
        except (ValueError, KeyError, TypeError):
            pass
    with files.digest_cache(memory) as cache:
        found = files.match(f"{glob.escape(uri)}/**")
        return digest([(file.path.removeprefix(uri), files.digest(file, cache)) for file in found])
