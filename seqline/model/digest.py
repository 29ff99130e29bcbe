"""The files of a SavedModel and the digest of all of them.

What is validated, pushed and rolled back to is one and the same.
"""

import hashlib
import json
import os
import stat
from pathlib import Path

from seqline.errors import UserError

# Inside a version, beside the model's own files. assets.extra/ is where TensorFlow Serving leaves
# room for others' files.
MANIFEST = "assets.extra/manifest.json"
EVALUATION = "assets.extra/evaluation.json"
BESIDE = (MANIFEST, EVALUATION)


def sha256_of_files(model: Path) -> dict[str, str]:
    """Relative path (with `/`) -> SHA-256 of every file of a model, in order.

    Those that a push puts beside it are left out.

    Raises UserError for a symlink or anything else that is neither file nor folder: what it stands
    for may change, or lie outside.
    """
    found = {}
    for folder, folders, files in os.walk(model):
        for name in [*folders, *files]:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            relative = path.relative_to(model).as_posix()
            if stat.S_ISLNK(mode):
                raise UserError(
                    f"{path} is a symlink to {os.readlink(path)}; a model holds files only. Put the"
                    " file itself there."
                )
            if stat.S_ISREG(mode) and relative not in BESIDE:
                found[relative] = sha256(path)
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise UserError(
                    f"{path} is neither a file nor a folder; a model holds files only. Take it"
                    " away."
                )
    return dict(sorted(found.items()))


def digest_of(files: dict[str, str]) -> str:
    """The digest of a model by those of its files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
