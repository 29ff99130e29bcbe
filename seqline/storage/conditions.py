"""Finds out whether a store keeps the conditions of writes, on which every lock rests.

Amazon's and Microsoft's own services do; not every server that speaks their protocols does. Google
Cloud Storage is not asked.
"""

import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from seqline.errors import UserError
from seqline.storage import objects, s3_azure
from seqline.storage.files import translate_errors

# The object that says that the store was asked before.
MARK = ".conditions-hold"
NUM_AT_ONCE = 4


def check(folder: str) -> None:
    """Checks the store of a place, the first time that a lock is held there.

    Args:
        folder: where the locks are. It gets an object, MARK.

    Raises:
        UserError: of several writes of which one may win, several do. Nothing is left there.
    """
    if folder.startswith(s3_azure.PREFIXES):
        _check(folder.rstrip("/"), s3_azure.key(f"{folder}/"))


@cache
def _check(folder: str, store: object) -> None:
    """`check`, once in a process for a folder of a store."""
    mark = f"{folder}/{MARK}"
    with translate_errors(folder):
        if objects.read(mark) is not None:
            return

        if problem := problem_of(f"{folder}/.probe-{uuid.uuid4().hex}"):
            raise UserError(
                f"{folder}: {problem}. "
                "Use a store with conditional writes (If-None-Match and If-Match), or a folder."
            )
        objects.write_object(mark, b"")


def problem_of(path: str) -> str:
    """What the store does wrong with an object that does not exist yet; "" for nothing."""
    wrong = ""
    try:
        created = _winners(path, objects.ABSENT)
        if len(created) != 1:
            wrong = f"lets {len(created)} of {NUM_AT_ONCE} writers create one object"
        elif (num := len(_winners(path, created[0]))) != 1:
            wrong = f"lets {num} of {NUM_AT_ONCE} writers replace one version of an object"
    finally:
        objects.delete_object(path)
    return f"this store {wrong}, so that two runs could hold one lock" if wrong else ""


def _winners(path: str, version: objects.Version) -> list[objects.Version]:
    """The versions that several writes at once made, of which one may win."""

    def write(number: int) -> objects.Version | None:
        return objects.write_object(path, f"{number} {uuid.uuid4().hex}".encode(), version)

    with ThreadPoolExecutor(NUM_AT_ONCE) as pool:
        written = pool.map(write, range(NUM_AT_ONCE))
    return [version for version in written if version is not None]
