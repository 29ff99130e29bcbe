"""Writes a package into a folder."""

import hashlib
import tempfile
from pathlib import Path

from pipeline.package import archive, contents, naming
from pipeline.package.choose import Chosen
from seqline.errors import UserError
from seqline.storage import objects
from seqline.storage.files import is_remote
from seqline.storage.staging import writing


def write(chosen: Chosen, kind: str, output: str, name: str | None, is_forced: bool) -> Path:
    """Writes a wheel or a zip archive.

    Args:
        chosen: The model.
        kind: `wheel` or `zip`.
        output: The folder for it.
        name: The name that a person gave to the package; None for the model's.
        is_forced: Replace a file of the same name that has other content.

    Returns:
        The file.

    Raises:
        UserError: The name cannot be a module's, or the file exists and is another.
        DataError: What was written is not what was pushed.
    """
    module = naming.module_name(chosen, name)
    version = naming.version_of(chosen)
    stem = f"{module}-{version}"
    if kind == "wheel":
        entries = contents.wheel_entries(chosen, module)
        file = f"{stem}-py3-none-any.whl"
    else:
        entries = contents.zip_entries(chosen, module)
        file = f"{stem}.zip"

    folder = folder_of(output)
    with tempfile.TemporaryDirectory(prefix="seqline-package-") as aside:
        made = Path(aside, file)
        written = archive.write(entries, made)
        if kind == "wheel":
            info = f"{stem}.dist-info"
            record = contents.record(written, info)
            archive.write({**entries, f"{info}/RECORD": record}, made)
        archive.check(made, {f"{module}/model/{path}": sha for path, sha in chosen.files.items()})
        return put(made, folder / file, is_forced)


def folder_of(output: str) -> Path:
    """The folder for a package, made if it does not exist.

    Raises:
        UserError: It is in a bucket, or a file.
    """
    if is_remote(output) or objects.problem_of(output):
        raise UserError(f"--output {output!r}: a package is written into a local folder.")
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"--output {output!r} is a file: name a folder.") from None
    return folder


def put(made: Path, target: Path, is_forced: bool) -> Path:
    """Moves a finished file to its place. Leaves an equal file there as it is."""
    if target.is_file() and not is_forced and _sha256(target) != _sha256(made):
        raise UserError(
            f"{target} exists and is another package. Name another --output, or replace it with"
            " --force."
        )
    with writing(target) as part:
        Path(part).write_bytes(made.read_bytes())
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
