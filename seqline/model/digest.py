"""The digest of a SavedModel, by its files.

The digest shows that the same model is validated, pushed and rolled back to.
"""

import hashlib
import json
import os
import stat
from pathlib import Path

from seqline.errors import UserError

# Files that a push adds to the model's own. TensorFlow Serving leaves assets.extra/ to others.
MANIFEST = "assets.extra/manifest.json"
EVALUATION = "assets.extra/evaluation.json"
# The model card, where hubs and people look for it. Models of other programs may have one, too.
CARD = "README.md"
BESIDE = (MANIFEST, EVALUATION, CARD)
# Those that show that a push made a folder: no other program writes them.
OF_A_PUSH = (MANIFEST, EVALUATION)


def sha256_of_files(model: Path) -> dict[str, str]:
    """Relative path (with `/`) -> SHA-256 of every file of a model, in order.

    Files that a push adds are left out.

    Raises:
        UserError: The model has a symlink, whose target may change or be elsewhere, or something
            else that is neither a file nor a folder.
    """
    digests = {}
    for folder, folders, files in os.walk(model):
        for name in [*folders, *files]:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            relative = path.relative_to(model).as_posix()

            if stat.S_ISLNK(mode):
                raise UserError(
                    f"{path} is a symlink to {os.readlink(path)}; a model holds files only. "
                    "Replace it with the file itself."
                )

            if stat.S_ISREG(mode) and relative not in BESIDE:
                digests[relative] = sha256(path)
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise UserError(
                    f"{path} is neither a file nor a folder; a model holds files only. Remove it."
                )

    return dict(sorted(digests.items()))


def digest_of(files: dict[str, str]) -> str:
    """The digest of a model, from the SHA-256 of each file by its path."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
