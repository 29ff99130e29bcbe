"""Where a run writes: the folders and buckets of a configuration, and the cache."""

import errno
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.doctor import FAIL, OK, WARN, Finding, ask

HERE = Path(__file__).parent
BUCKETS = ("gs://", "s3://", "az://")
CONFIG_SECONDS = 120.0
BUCKET_SECONDS = 120.0
# Every byte of every artifact is read, a gigabyte a second.
ARTIFACTS_SECONDS = 600.0
# GB. Artifacts and checkpoints of a small run; those of many runs over growing data.
LEAST_ROOM, ENOUGH_ROOM = 0.2, 2.0
PROBE_BYTES = 1 << 20
# The ways to name another place.
FLAGS = {
    "root": "--root",
    "serving_dir": "--serving-dir",
    "data_dir": "--data-dir",
    "cache": "SEQLINE_CACHE=...",
    "temp": "TMPDIR=...",
}


@dataclass(frozen=True)
class Places:
    """The places of a configuration, and its source where that is a string."""

    root: str = "artifacts"
    serving_dir: str = "serving_dir"
    data_dir: str = "data"
    source: str = ""


def configured(
    config: str | None, alias: str | None, settings: Sequence[str], given: dict[str, str]
) -> tuple[Places, list[Finding]]:
    """Reads the places of a configuration, and finds the packages that its run needs and lacks.

    Args:
        config: The word CONFIG of the command line.
        alias: The value of `--config`.
        settings: The values of `--set`.
        given: Setting -> the place that a flag names.

    Returns:
        The places, the defaults where the configuration cannot be read, and the findings.
    """
    question = {"config": config, "alias": alias, "settings": list(settings), "places": given}
    answers, failure = ask(HERE / "configuration.py", question, CONFIG_SECONDS)
    answer = answers[-1] if answers else {"error": failure}
    if "error" not in answer:
        name, lacking = answer.pop("config"), answer.pop("lacking")
        missing = [Finding(FAIL, "configuration", f"{name}: {sentence}") for sentence in lacking]
        return Places(**answer), missing or [Finding(OK, "configuration", name)]

    places = Places(
        root=given.get("root", Places.root),
        serving_dir=given.get("pusher.serving_dir", Places.serving_dir),
    )
    text = f"{config or alias or 'the defaults'}: {answer['error']}"
    way_out = "correct it, or name another; if it is a library: see imports"
    return places, [Finding(FAIL, "configuration", text, way_out)]


def writable(name: str, place: str) -> Finding:
    """Whether a folder has room and what the store needs of a file system. It leaves no file."""
    path = Path(place).absolute()
    existing = next(folder for folder in (path, *path.parents) if os.path.lexists(folder))
    another = f"name another: {FLAGS[name]}"
    if not existing.is_dir():
        text = f"{path}: {existing} is not a folder"
        return Finding(FAIL, name, text, f"move it away, or {another}")

    probe = existing / f".doctor-{uuid.uuid4().hex}"
    try:
        problem = _try(probe)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            text = f"{path}: no room ({error.strerror})"
            return Finding(FAIL, name, text, f"seqline gc frees what no run needs; or {another}")
        text = f"{path} cannot be written ({error.strerror}: {existing})"
        return Finding(FAIL, name, text, f"make it writable, or {another}")
    finally:
        shutil.rmtree(probe, ignore_errors=True)

    if problem:
        way_out = f"mount it with locks, or {another}"
        return Finding(FAIL, name, f"{path}: {problem}", way_out)
    return _room(name, path, existing)


def _try(probe: Path) -> str:
    """Writes, renames and locks in a new folder.

    Returns:
        The fault of renames or locks; "" if both work.

    Raises:
        OSError: It cannot be written.
    """
    probe.mkdir()
    (probe / "part").mkdir()
    with (probe / "part" / "file").open("wb") as file:
        file.write(b"\0" * PROBE_BYTES)
        file.flush()
        os.fsync(file.fileno())  # A quota or a network disk may refuse only now.

    try:
        os.rename(probe / "part", probe / "whole")
    except OSError as error:
        return f"a folder cannot be renamed ({error.strerror}): no artifact could appear whole"

    with (probe / "lock").open("w") as first, (probe / "lock").open("w") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX)
        except OSError as error:
            return f"files cannot be locked ({error.strerror})"
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
    return "a lock does not keep a second one out: two runs would make one artifact at once"


def _room(name: str, path: Path, existing: Path) -> Finding:
    """Whether the disk of a folder has enough room."""
    free = shutil.disk_usage(existing).free / (1 << 30)
    if free < LEAST_ROOM:
        text = f"{path}: {free * 1024:.0f} MB free"
        way_out = f"seqline gc frees what no run needs; or name another: {FLAGS[name]}"
        return Finding(FAIL, name, text, way_out)

    text = f"{path}: can be written, renamed and locked; {free:.1f} GB free"
    if free < ENOUGH_ROOM:
        return Finding(WARN, name, text, "seqline gc frees what no run needs")
    return Finding(OK, name, text)


def temporary() -> Finding:
    """Whether the folder of temporary files can be written."""
    try:
        folder = tempfile.gettempdir()
    except OSError as error:
        way_out = "name a folder that can be written: TMPDIR=..."
        return Finding(FAIL, "temp", str(error.strerror or error), way_out)
    return writable("temp", folder)


def cache() -> str:
    """Where seqline.storage.staging keeps copies of what lies in buckets."""
    # Not at the top: doctor must start where another folder hides seqline's.
    from seqline.host.cache import cache_folder

    return str(cache_folder())


def runs_to_come(root: str) -> Iterator[Finding]:
    """Runs whose names are in the future: each would be taken for the latest one."""
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%S}~"
    ahead = [path.name for path in Path(root, "runs").glob("*T*-*") if path.name > now]
    if ahead:
        text = (
            f"run {max(ahead)} in {root!r} has a name in the future: `seqline show` takes it for"
            " the last one"
        )
        way_out = (
            "one clock is, or was, wrong: set it (timedatectl set-ntp true), and move such runs'"
            " folders away"
        )
        yield Finding(WARN, "clock", text, way_out)


def artifacts(root: str) -> Iterator[Finding]:
    """Whether the files of the artifacts under a root are those that their stages wrote."""
    answers, failure = ask(HERE / "artifacts.py", {"root": root}, ARTIFACTS_SECONDS)
    for answer in answers:
        if "problem" in answer:
            text = f"{answer['place']}: {answer['name']} {answer['problem']}"
            way_out = "seqline run makes it again where its pipeline needs it; or remove the folder"
            if answer["problem"].startswith("was added"):
                way_out = "move it out of the artifact"
            yield Finding(FAIL, "artifacts", text, way_out)
        elif "error" in answer:
            failure = answer["error"]

    if failure:
        text = f"not all of {root} was compared with its digests: {failure}"
        yield Finding(WARN, "artifacts", text, "seqline run --verify reads those of a pipeline")
        return

    counts = answers[-1]
    are_whole = not any("problem" in answer for answer in answers)
    if are_whole and counts["num_artifacts"]:
        text = f"{counts['num_artifacts']} artifacts, {counts['num_files']} files as written"
        if counts["num_without"]:
            text += f"; {counts['num_without']} of an earlier release have no digests"
        yield Finding(OK, "artifacts", text)


def bucket(name: str, place: str) -> Finding:
    """Asks a bucket for the permissions, and writes, reads and deletes an object in it."""
    answers, failure = ask(HERE / "configuration.py", {"bucket": place}, BUCKET_SECONDS)
    problem = answers[-1]["error"] if answers else failure or "no answer"
    if not problem:
        return Finding(OK, name, f"{place}: can be listed, read, written and deleted")
    way_out = "the account needs the right to list, read, write and delete objects in the bucket"
    if place.startswith("gs://"):
        way_out = "the account needs the role storage.objectUser in the bucket"
    return Finding(FAIL, name, f"{place}: {problem}", way_out)
