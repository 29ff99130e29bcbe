"""The places of artifacts and records under a root, and the parts of a key.

<root>/<component>/<key>/         a finished artifact; execution.json, written last, is its record
<root>/span_cache/<component>/    parts of spans that later windows use again
                                  (seqline.data.span_cache)
<root>/verified/                  sizes, times and inodes of the files of artifacts, so that those
                                  whose digests were as expected are not read again
<root>/work/<component>-<key>/    checkpoints of an unfinished artifact
<root>/partial/                   artifacts being written, each in a folder of its own
<root>/runs/<run>/                run.json: the stages of a run; log.txt: what the libraries print
<root>/locks/                     a lock for each key, so that two runs never make one artifact at
                                  once; one for each run that is alive
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.store.code import code_digest
from seqline.component import Component, Params
from seqline.digests import digest
from seqline.storage.integrity import EXECUTION

RUN = "run.json"
LOG = "log.txt"
SPAN_CACHE = "span_cache"
VERIFIED = "verified"
# Locks that do not belong to an artifact: of a run (the beginning of its name), of the clean-up.
RUN_LOCK, CLEANING = "run-", "cleaning"
# The beginning of a name under partial/, of entries that the clean-up removed.
DISCARDED = "discarded-"
# Parts of an artifact that hold times, or the place from which rows were read: `artifact_digest`
# leaves them out.
RECORDS = {EXECUTION, "tensorboard", "trials.json", "server.log", "origins"}


def key_parts(
    component: Component, params: Params, inputs: Mapping[str, str], external_digest: str | None
) -> dict[str, Any]:
    """All that shapes a component's output, by name, so that `plan` can say what changed.

    The artifact's key is its digest.

    Args:
        component: the component.
        params: its settings.
        inputs: the input's name -> the key of the input artifact.
        external_digest: the digest of the data that the component reads from outside the store.
    """
    return {
        "component": component.name,
        "params": params.key_fields(),
        "inputs": dict(inputs),
        "data": external_digest,
        "code": code_digest(component.run.__module__),
        "libraries": _versions(component),
    }


def cache_salt(component: Component) -> str:
    """The digest that the parts in a component's span cache depend on.

    Other code and other library versions have their own parts.
    """
    return digest([code_digest(component.run.__module__), _versions(component)])


def _versions(component: Component) -> dict[str, str | None]:
    return {name: _installed_version(name) for name in component.libraries}


@cache
def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def run_name() -> str:
    """The name of a run that begins now; names sort in the order of time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:4]}"


def artifact_digest(path: Path) -> str:
    """A digest of an artifact's files without RECORDS: equal for equal content."""
    contents = []
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        if file.is_file() and name.parts[0] not in RECORDS:
            contents.append((str(name), blake2b(file.read_bytes()).hexdigest()))
    return digest(contents)
