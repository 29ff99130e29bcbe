"""Publishes a blessed SavedModel as the next version under serving_dir, TensorFlow Serving's base path.

Reads SavedModel and Evaluation. Writes `serving_dir/<version>/` in one rename, so that a reader sees a whole version or none,
and push.json: which version it is.
"""

import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field

from components.base import Component, Figures, NotBlessedError, Params, UserError, WherePath
from components.features import EVALUATION, SAVED_MODEL

PUSH = "push.json"
# Inside the version: SHA-256 of each of its files. assets.extra/ is where TensorFlow Serving leaves room for others' files.
MANIFEST = Path("assets.extra", "manifest.json")


class PusherParams(Params):
    serving_dir: WherePath = Field("serving_dir", description="where versions are published, TensorFlow Serving's base path")


def check(params: PusherParams) -> None:
    """Raises UserError if serving_dir cannot be written."""
    folder = Path(params.serving_dir)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"pusher.serving_dir {params.serving_dir!r}: {existing} is not a folder.")
    try:
        probe = existing / f".writable-{uuid.uuid4().hex}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"pusher.serving_dir {params.serving_dir!r} cannot be written ({error.strerror}: {existing}). "
            "Change its permissions, or name another with --set pusher.serving_dir=..."
        ) from None


def run(*, saved_model: Path, evaluation: Path, params: PusherParams, output: Path) -> Figures:
    """Pushes, unless the newest version already has this content.

    Raises NotBlessedError if the evaluation refused the model; serving_dir then stays as it is.
    """
    verdict = json.loads((evaluation / EVALUATION).read_text())
    if not verdict["blessed"]:
        raise NotBlessedError(f"The model is not blessed and was not pushed: {'; '.join(verdict['refusals'])}.")
    serving_dir = Path(params.serving_dir).absolute()
    figures = push(saved_model / SAVED_MODEL, serving_dir)
    (output / PUSH).write_text(json.dumps(figures, indent=2) + "\n")
    return {**figures, "serving_dir": str(serving_dir)}


def push(model: Path, serving_dir: Path) -> Figures:
    """Publishes the files of `model`; returns {version, digest, pushed}, pushed=False where nothing was to do."""
    serving_dir.mkdir(parents=True, exist_ok=True)
    manifest = {str(path.relative_to(model)): _sha256(path) for path in sorted(model.rglob("*")) if path.is_file()}
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    with _lock(serving_dir):
        newest = max(versions(serving_dir), default=0)
        if newest and manifest_digest(serving_dir / str(newest)) == digest:
            return {"version": newest, "digest": digest, "pushed": False}
        for left_over in serving_dir.glob(".pushing-*"):  # of a push that was killed: the lock is ours, so nobody writes there
            shutil.rmtree(left_over)
        aside = serving_dir / f".pushing-{uuid.uuid4().hex}"  # a name that is no number is no version to a server
        shutil.copytree(model, aside)
        (aside / MANIFEST).parent.mkdir(exist_ok=True)
        (aside / MANIFEST).write_text(json.dumps({"digest": digest, "files": manifest}, indent=2) + "\n")
        for path in [*aside.rglob("*"), aside]:
            _fsync(path)
        os.rename(aside, serving_dir / str(newest + 1))
        _fsync(serving_dir)
    return {"version": newest + 1, "digest": digest, "pushed": True}


def versions(serving_dir: Path) -> list[int]:
    """The versions under serving_dir, in ascending order."""
    return sorted(int(path.name) for path in serving_dir.glob("*") if path.name.isdigit() and path.is_dir())


def manifest_digest(version: Path) -> str | None:
    """The digest of a version's content as it was pushed; None for a version that somebody else put there."""
    try:
        return json.loads((version / MANIFEST).read_text())["digest"]
    except (OSError, ValueError, KeyError):
        return None


def stale(output: Path, params: PusherParams) -> str | None:
    """Why an earlier push no longer holds: its version is gone, or no longer the newest."""
    push = json.loads((output / PUSH).read_text())
    serving_dir = Path(params.serving_dir)
    newest = max(versions(serving_dir), default=0)
    if not newest:
        return f"{serving_dir} holds no version"
    if manifest_digest(serving_dir / str(newest)) != push["digest"]:
        return f"the newest version in {serving_dir}, {newest}, is another model"
    return None


@contextmanager
def _lock(serving_dir: Path) -> Iterator[None]:
    """One push at a time; the system frees the lock of a process that dies."""
    with (serving_dir / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def describe(figures: Figures) -> str:
    return f"{figures['serving_dir']}/{figures['version']}" + ("" if figures["pushed"] else " (already there)")


PUSHER = Component(
    name="pusher",
    inputs={"saved_model": "SavedModel", "evaluation": "Evaluation"},
    output="Push",
    params=PusherParams,
    run=run,
    describe=describe,
    check=check,
    stale=stale,
)
