"""The digests of a folder's files, and the changes in them since, local or in a bucket.

    files = digests_of(folder)                # when it is finished: name -> size and digest
    changes_in(folder, files, memory=file)    # when it is used: [] if every byte is as it was

A local file whose size, times and inode are those that `memory` knows is not read again. Any other
one is: a copy of the folder elsewhere is read once. In a bucket the service itself keeps digests,
and no object is read.
"""

import base64
import hashlib
import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from seqline.errors import UserError
from seqline.storage import files, objects
from seqline.storage.files import DigestCache, digest_cache, is_remote

# The record of an artifact, whose `files` are its digests.
EXECUTION = "execution.json"
# Parts of an artifact without digests: the record itself, and the folder into which TensorBoard
# writes its own files later. No stage reads either.
WITHOUT_DIGESTS = (EXECUTION, "tensorboard")
# 1.2 GB/s on a core of 2023, whose processor has instructions for it; BLAKE2b has 0.5, MD5 0.6.
ALGORITHM = "sha256"
# Those that this machine can compute. An object's crc32c says nothing here; its size does.
COMPUTED = (ALGORITHM, "md5")
ETAG = "etag"
# hashlib lets other threads run meanwhile. More threads than this would only wait for the disk.
NUM_THREADS = min(8, os.cpu_count() or 1)
# A file that changes twice within the clock's grain keeps its time of change. A kernel's clock
# ticks at least every 10 ms. Some file systems (FAT, old NFS) store whole seconds or two.
GRAIN_NS = 20_000_000
COARSE_GRAIN_NS = 2_000_000_000
TICK_NS = 10_000_000

ADDED, MISSING = "was added after it was written", "is missing"
CHANGED = "changed after it was written"


@dataclass(frozen=True)
class FileDigest:
    """The content of a file.

    Attributes:
        size: Bytes.
        digest: The algorithm, a colon, and the digest: sha256 in hexadecimal digits. Under gs://
            as the service gives it: md5 in base64; crc32c of an object that has no MD5. Under s3://
            and az:// etag:<ETag>:<sha256>, where a copy has another ETag.
    """

    size: int
    digest: str


@dataclass(frozen=True)
class Change:
    """A file that is not what it was.

    Attributes:
        name: Its path within the folder.
        problem: The end of a sentence that begins with the name.
    """

    name: str
    problem: str


def digests_of(
    folder: Path, skip: Collection[str] = (), memory: Path | None = None
) -> dict[str, FileDigest]:
    """The digests of all files of a folder, by their names within it, sorted.

    Args:
        folder: A local folder, or an ObjectPath.
        skip: Names of files and folders at the top that do not count.
        memory: The file that gets what `changes_in` needs to read no file again.
    """
    if is_remote(str(folder)):
        return _with_checksums(folder, dict(sorted(_listed(folder, skip))))

    sizes = {name: status.st_size for name, status in sorted(_scan(folder, skip))}
    with _remembered(memory) as cache:
        cache.clear()
        digests = _digests(folder, [(name, ALGORITHM) for name in sizes], cache)
    return {name: FileDigest(size, digests[name]) for name, size in sizes.items()}


def changes_in(
    folder: Path,
    expected: Mapping[str, FileDigest],
    skip: Collection[str] = (),
    memory: Path | None = None,
    in_full: bool = False,
) -> list[Change]:
    """The changes in a folder since its digests were taken, in the order of the names.

    A new file whose name begins with a dot is no change: desktops and network disks write such.

    Args:
        folder: A local folder, or an ObjectPath.
        expected: Its digests, of `digests_of`, there or where it was copied from.
        skip: Names of files and folders at the top that do not count.
        memory: The file with the times and inodes of the files whose digests were as expected.
        in_full: Read every byte again, whatever the memory says.

    Raises:
        UserError: A file may not be read.
    """
    if is_remote(str(folder)):
        return _changes_of_objects(folder, expected, skip, in_full)

    expected = {name: FileDigest(file.size, _content(file)) for name, file in expected.items()}
    found = dict(_scan(folder, skip))
    changes = _changes_of_names({name: status.st_size for name, status in found.items()}, expected)
    to_compare = sorted(expected.keys() - changes.keys())

    with _remembered(memory) as cache:
        for name in cache.keys() - set(to_compare):
            del cache[name]

        to_read = [
            (name, _algorithm(expected[name].digest))
            for name in to_compare
            if _algorithm(expected[name].digest) in COMPUTED
            and (in_full or cache.get(name) != [*_identity(found[name]), expected[name].digest])
        ]
        changes |= _compare(folder, to_read, expected, cache)
    return [Change(*change) for change in sorted(changes.items())]


def changes_in_artifact(folder: Path) -> list[Change]:
    """The files of a finished artifact that were changed, cut or deleted, by its own record.

    For one that a setting names, wherever it is. Without a record, or without digests in it, there
    are none. Every byte is read.
    """
    try:
        record = files.parse_object((folder / EXECUTION).read_bytes()) or {}
        expected = {
            str(name): FileDigest(int(file["size"]), str(file["digest"]))
            for name, file in (record.get("files") or {}).items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    changes = changes_in(folder, expected, WITHOUT_DIGESTS) if expected else []
    return [change for change in changes if change.problem != ADDED]


@contextmanager
def _remembered(memory: Path | None) -> Iterator[DigestCache]:
    if memory is not None:
        with suppress(OSError):  # without it all files are read again
            memory.parent.mkdir(exist_ok=True)
    with digest_cache(memory) as cache:
        yield cache


def _compare(
    folder: Path,
    to_read: list[tuple[str, str]],
    expected: Mapping[str, FileDigest],
    cache: DigestCache,
) -> dict[str, str]:
    """The changes in files whose sizes are as expected, by name. What changed leaves the cache."""
    changes = {}
    for name, digest in _digests(folder, to_read, cache).items():
        if digest.startswith(f"{_algorithm(expected[name].digest)}:"):
            problem = "" if digest == expected[name].digest else CHANGED
        else:
            problem = digest
        if problem:
            changes[name] = problem
            cache.pop(name, None)
    return changes


def _changes_of_names(
    sizes: Mapping[str, int], expected: Mapping[str, FileDigest]
) -> dict[str, str]:
    """The files that appeared, disappeared or have another size."""
    changes = dict.fromkeys(expected.keys() - sizes.keys(), MISSING)
    for name in sizes.keys() - expected.keys():
        if not name.rpartition("/")[2].startswith("."):
            changes[name] = ADDED

    for name in sizes.keys() & expected.keys():
        before, now = expected[name].size, sizes[name]
        if now != before:
            changes[name] = f"has {now:,} bytes and was written with {before:,}"
    return changes


# Local files


def _scan(folder: Path, skip: Collection[str]) -> Iterator[tuple[str, os.stat_result]]:
    """(name, status) of each file beneath a folder."""
    yield from _scan_beneath(str(folder), "", skip)


def _scan_beneath(
    folder: str, prefix: str, skip: Collection[str] = ()
) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return

    for entry in entries:
        if entry.name in skip:
            continue
        try:
            status = entry.stat()
        except OSError:  # a link that leads nowhere, or a file that disappears meanwhile
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _scan_beneath(entry.path, f"{prefix}{entry.name}/")
        elif stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            yield f"{prefix}{entry.name}", status


def _digests(folder: Path, names: Iterable[tuple[str, str]], cache: DigestCache) -> dict[str, str]:
    """The digests of files, by name; of one that cannot be read, the problem.

    Args:
        folder: Where they are.
        names: (name, algorithm).
        cache: Gains an entry for each file that is old enough, see GRAIN_NS.
    """
    names = list(names)
    if not names:
        return {}

    def read(name: str, algorithm: str) -> str:
        digest, identity = _digest(folder / name, algorithm)
        if identity:
            cache[name] = [*identity, digest]
        else:
            cache.pop(name, None)
        return digest

    if len(names) == 1:
        return {name: read(name, algorithm) for name, algorithm in names}
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        return dict(
            zip(
                (name for name, _ in names),
                pool.map(lambda named: read(*named), names),
                strict=True,
            )
        )


def _digest(path: Path, algorithm: str) -> tuple[str, list[int] | None]:
    """(a file's digest, its size, times and inode; None for those of a file that is too young)."""
    started = time.time_ns()
    try:
        with path.open("rb") as file:
            before = _identity(os.fstat(file.fileno()))
            digest = hashlib.file_digest(file, algorithm)
            after = _identity(os.fstat(file.fileno()))
    except PermissionError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}). Give this user the right to read it."
        ) from None
    except OSError as error:
        return f"cannot be read ({error.strerror})", None

    changed = after[2]
    grain = COARSE_GRAIN_NS if changed % TICK_NS == 0 else GRAIN_NS
    is_settled = before == after and changed < started - grain
    return _written(digest, algorithm), after if is_settled else None


def _written(digest: "hashlib._Hash", algorithm: str) -> str:
    if algorithm == "md5":  # as Google Cloud Storage writes it
        return f"md5:{base64.b64encode(digest.digest()).decode()}"
    return f"{algorithm}:{digest.hexdigest()}"


def _algorithm(digest: str) -> str:
    return digest.partition(":")[0]


def _identity(status: os.stat_result) -> list[int]:
    # The time of the inode's change, too: a program can set back the time of its content's change.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


# Objects


def of_object(size: int, content: str) -> FileDigest:
    """The digest of an object, from its size and content as a listing gives them."""
    # Without the size and generation that a listing adds to a crc32c: a copy has another one.
    return FileDigest(size, ":".join(content.split(":")[:2]))


def _content(file: FileDigest) -> str:
    """A digest without the ETag, which belongs to a place."""
    parts = file.digest.split(":")
    return f"sha256:{parts[2]}" if parts[0] == ETAG and len(parts) == 3 else file.digest


def _listed(folder: Path, skip: Collection[str]) -> Iterator[tuple[str, FileDigest]]:
    for path, size, content in folder.beneath():  # type: ignore[attr-defined] # an ObjectPath
        name = str(path.relative_to(folder))
        if name.partition("/")[0] not in skip:
            yield name, of_object(size, content)


def _with_checksums(folder: Path, listed: dict[str, FileDigest]) -> dict[str, FileDigest]:
    """The digests of a listing, with the SHA-256 of each object that has an ETag."""
    names = [name for name, file in listed.items() if _algorithm(file.digest) == ETAG]

    def add(name: str) -> None:
        if checksum := objects.checksum(str(folder / name)):
            file = listed[name]
            listed[name] = FileDigest(file.size, f"{file.digest}:{checksum}")

    with files.translate_errors(str(folder)):
        objects.at_once(add, [(name,) for name in names])
    return listed


def _changes_of_objects(
    folder: Path, expected: Mapping[str, FileDigest], skip: Collection[str], in_full: bool
) -> list[Change]:
    found = dict(_listed(folder, skip))
    changes = _changes_of_names({name: file.size for name, file in found.items()}, expected)

    for name in expected.keys() - changes.keys():
        before, now = expected[name], found[name].digest
        if before.digest == now or before.digest.startswith(f"{now}:"):
            continue
        if _algorithm(now) != _algorithm(before.digest) or _algorithm(now) == ETAG:
            # It is a copy, or an object that changed and kept its size. The bytes are read only if
            # all are, or if nothing else says what they are.
            is_read = in_full or _algorithm(now) == _algorithm(before.digest)
            computed = _computed(folder / name, _content(before), is_read)
            if computed is None:
                continue
            now = computed
        if now != _content(before):
            changes[name] = CHANGED
    return [Change(*change) for change in sorted(changes.items())]


def _computed(path: Path, expected: str, is_read: bool) -> str | None:
    """The digest of an object's content by the algorithm of the expected one.

    Args:
        path: The object.
        expected: The expected digest.
        is_read: Whether its bytes may be read.

    Returns:
        None where it is not known.
    """
    algorithm = _algorithm(expected)
    with files.translate_errors(str(path)):
        if algorithm == ALGORITHM and (checksum := objects.checksum(str(path))):
            return f"{ALGORITHM}:{checksum}"
        if not is_read or algorithm not in COMPUTED:
            return None
        with files.open_file(str(path)) as file:
            # A BinaryIO has readinto, which its type does not say.
            digest = hashlib.file_digest(file, algorithm)  # type: ignore[arg-type]
            return _written(digest, algorithm)
