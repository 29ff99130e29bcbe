"""Where a run writes: the configuration's folders and buckets, the cache, the credentials."""

import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.doctor import FAIL, OK, WARN, Finding, ask
from seqline.host.cache import cache_folder

HERE = Path(__file__).parent
CONFIG_SECONDS = 120.0
BUCKET_SECONDS = 120.0
# GB. Artifacts, checkpoints and byte code of a small run; what one wants for the windows of months.
LEAST_ROOM, ENOUGH_ROOM = 0.2, 2.0
PROBE_BYTES = 1 << 20
# Clocks of a file server and of this machine.
CLOCK_SECONDS = 5.0
ACCOUNT_TYPES = {
    "service_account",
    "authorized_user",
    "external_account",
    "external_account_authorized_user",
    "impersonated_service_account",
}


def configured(
    config: str | None, alias: str | None, settings: Sequence[str], places: dict[str, str]
) -> tuple[dict[str, str], list[Finding]]:
    """What the configuration says of places, {root, serving_dir, data_dir, source}.

    The defaults where it cannot be read.

    What its run needs and is not installed is found, too.
    """
    answers, ended = ask(
        HERE / "configuration.py",
        {"config": config, "alias": alias, "settings": list(settings), "places": places},
        CONFIG_SECONDS,
    )
    if answers and "root" in answers[-1]:
        name, lacking = answers[-1]["config"], answers[-1].pop("lacking")
        missing = [Finding(FAIL, "configuration", f"{name}: {sentence}") for sentence in lacking]
        return answers[-1], missing or [Finding(OK, "configuration", name)]
    defaults = {
        "root": places.get("root", "artifacts"),
        "serving_dir": places.get("pusher.serving_dir", "serving_dir"),
    }
    problem = answers[-1]["error"] if answers else ended
    found = Finding(
        FAIL,
        "configuration",
        f"{config or alias or 'the defaults'}: {problem}",
        "correct it, or name another; if it is a library: see imports",
    )
    return {**defaults, "data_dir": "data", "source": ""}, [found]


def writable(name: str, place: str) -> Iterator[Finding]:
    """A folder of a run.

    Room, and everything that the store needs of a file system. Leaves nothing behind.
    """
    path = Path(place).absolute()
    existing = next(each for each in (path, *path.parents) if os.path.lexists(each))
    way_out = f"make it writable, or name another: {_flag(name)}"
    if not existing.is_dir():
        yield Finding(
            FAIL,
            name,
            f"{path}: {existing} is no folder",
            f"move it away, or name another: {_flag(name)}",
        )
        return
    probe = existing / f".doctor-{uuid.uuid4().hex}"
    try:
        problem = _try(probe)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            yield Finding(
                FAIL,
                name,
                f"{path}: no room ({error.strerror})",
                f"seqline gc frees what no run needs; or name another: {_flag(name)}",
            )
        else:
            yield Finding(
                FAIL, name, f"{path} cannot be written ({error.strerror}: {existing})", way_out
            )
        return
    finally:
        shutil.rmtree(probe, ignore_errors=True)
    if problem:
        yield Finding(*problem[:1], name, f"{path}: {problem[1]}", problem[2] or way_out)
        return
    yield _room(name, path, existing)


def _try(probe: Path) -> tuple[str, str, str] | None:
    """(status, what is wrong, the way out) of writing, renaming and locking.

    Raises OSError where it cannot be written.
    """
    probe.mkdir()
    whole, lock = probe / "whole", probe / "lock"
    (probe / "part").mkdir()
    with (probe / "part" / "file").open("wb") as file:
        file.write(b"\0" * PROBE_BYTES)
        file.flush()
        os.fsync(file.fileno())  # a quota or a network disk tells only now
    try:
        os.rename(probe / "part", whole)
    except OSError as error:
        return (
            FAIL,
            f"a folder cannot be renamed ({error.strerror}): no artifact could appear whole",
            "",
        )
    with lock.open("w") as one, lock.open("w") as other:
        try:
            fcntl.flock(one, fcntl.LOCK_EX)
        except OSError as error:
            return (
                FAIL,
                f"files cannot be locked ({error.strerror})",
                "mount it with locks, or use a local disk or gs://",
            )
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return (
                FAIL,
                "a lock does not keep a second one out: two runs would make one artifact at once",
                "mount it with locks",
            )
        except BlockingIOError:
            pass
    behind = lock.stat().st_mtime - time.time()
    if abs(behind) > CLOCK_SECONDS:
        return (
            WARN,
            f"its clock and this machine's are {abs(behind):.0f} s apart",
            "set both by NTP",
        )
    return None


def _room(name: str, path: Path, existing: Path) -> Finding:
    free = shutil.disk_usage(existing).free / (1 << 30)
    inodes = os.statvfs(existing)
    text = f"{path}: can be written, renamed and locked; {free:.1f} GB free"
    if inodes.f_files and inodes.f_favail < 1000:
        return Finding(
            FAIL,
            name,
            f"{path}: the file system has room for {inodes.f_favail} more files only",
            "seqline gc, or another disk",
        )
    if free < LEAST_ROOM:
        return Finding(
            FAIL,
            name,
            f"{path}: {free * 1024:.0f} MB free",
            f"seqline gc frees what no run needs; or name another: {_flag(name)}",
        )
    if free < ENOUGH_ROOM:
        return Finding(WARN, name, text, "seqline gc frees what no run needs")
    return Finding(OK, name, text)


def _flag(name: str) -> str:
    flags = {
        "root": "--root",
        "serving_dir": "--serving-dir",
        "data_dir": "--data-dir",
        "cache": "SEQLINE_CACHE=...",
        "temp": "TMPDIR=...",
    }
    return flags[name]


def temporary() -> Iterator[Finding]:
    try:
        folder = tempfile.gettempdir()
    except OSError as error:
        yield Finding(
            FAIL,
            "temp",
            str(error.strerror or error),
            "name a folder that can be written: TMPDIR=...",
        )
        return
    yield from writable("temp", folder)


def cache() -> str:
    """Where seqline.storage.staging keeps copies of what lies under gs://."""
    return str(cache_folder())


def runs_to_come(root: str) -> Iterator[Finding]:
    """Runs with a name of the future: they would be taken for the latest ones."""
    names = [path.name for path in Path(root, "runs").glob("*T*-*")]
    ahead = max(
        (name for name in names if name > f"{datetime.now(UTC):%Y%m%dT%H%M%S}~"), default=None
    )
    if ahead:
        way_out = (
            "one clock is, or was, wrong: set it (timedatectl set-ntp true), and take such runs'"
            " folders away"
        )
        yield Finding(
            WARN,
            "clock",
            f"run {ahead} in {root!r} is of the future: `seqline show` takes it for the last one",
            way_out,
        )


def credentials(needed: bool) -> Finding:
    """needed: whether something of this configuration lies under gs://."""
    status = FAIL if needed else WARN
    given = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    folder = Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")
    path = Path(given) if given else folder / "application_default_credentials.json"
    whose = f"GOOGLE_APPLICATION_CREDENTIALS={path}" if given else str(path)
    way_out = (
        "gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS to a file"
        " that is whole"
    )
    if os.environ.get("STORAGE_EMULATOR_HOST"):
        return Finding(
            OK,
            "credentials",
            f"none are used: STORAGE_EMULATOR_HOST={os.environ['STORAGE_EMULATOR_HOST']}",
        )
    if not path.is_file():
        if given:
            return Finding(
                status, "credentials", f"{whose}: there is no such file", f"{way_out}; or unset it"
            )
        return Finding(
            OK,
            "credentials",
            "none of Google's in a file"
            + ("; the machine's own account is asked" if needed else ", none are needed"),
        )
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or found.get("type") not in ACCOUNT_TYPES:
            raise ValueError(f"its type is none of {', '.join(sorted(ACCOUNT_TYPES))}")
        lacking = [
            name
            for name in ("client_email", "private_key", "token_uri")
            if found["type"] == "service_account" and not found.get(name)
        ]
        if lacking:
            raise ValueError(f"it lacks {', '.join(lacking)}")
    except (OSError, ValueError) as error:
        return Finding(status, "credentials", f"{whose} are no credentials: {error}", way_out)
    if found["type"] == "service_account" and path.stat().st_mode & 0o077:
        return Finding(
            WARN,
            "credentials",
            f"{whose}: a key that others on this machine can read",
            f"chmod 600 {path}",
        )
    return Finding(OK, "credentials", f"{whose}: {found['type']}")


def bucket(name: str, place: str) -> Finding:
    """Asks a bucket for the permissions, and writes, reads and deletes an object there."""
    answers, ended = ask(HERE / "configuration.py", {"bucket": place}, BUCKET_SECONDS)
    if answers and answers[-1].get("error") == "":
        return Finding(OK, name, f"{place}: can be listed, read, written and deleted")
    problem = answers[-1]["error"] if answers else ended
    return Finding(
        FAIL,
        name,
        f"{place}: {problem}",
        "the account needs the role storage.objectUser in the bucket; credentials: see above",
    )
