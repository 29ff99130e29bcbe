"""Where artifacts and executions lie, and what makes a key.

<root>/<component>/<key>/     a finished artifact; execution.json, written last, says how it came to
                              be
<root>/span_cache/<component>/    parts of its work that later artifacts use again
                                  (seqline.data.span_cache)
<root>/work/<component>-<key>/  checkpoints of an artifact in the making
<root>/partial/               artifacts being written, each in a folder of its own
<root>/runs/<run>/            run.json: the stages of a run; log.txt: what the libraries had to say
<root>/locks/                 one lock file for each key: two runs never make the same artifact at
                              once; one for each run that is alive
"""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.store.code import code_digest
from seqline.component import Component, Params
from seqline.digests import digest

EXECUTION = "execution.json"
RUN = "run.json"
LOG = "log.txt"
# Names under locks/ that are no artifact's, and one under partial/.
RUN_LOCK, CLEANING = "run-", "cleaning"
DISCARDED = "discarded-"
# Written with every artifact, with a clock inside, or with the place from which rows were read: not
# part of what is compared.
RECORDS = {EXECUTION, "tensorboard", "trials.json", "server.log", "origins"}


def key_parts(
    component: Component, params: Params, inputs: Mapping[str, str], external_digest: str | None
) -> dict[str, Any]:
    """All that shapes a component's output, by name, so that `plan` can say what changed.

    The key is its digest.

    inputs: the keys of the input artifacts. outside: the digest of data outside the store.
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
    """What parts of a component's work are kept under.

    Other code and other library versions have parts of their own.
    """
    return digest([code_digest(component.run.__module__), _versions(component)])


def _versions(component: Component) -> dict[str, str | None]:
    return {name: _installed_version(name) for name in component.libraries}


def _installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def run_name() -> str:
    """The name of a run that begins now; names are in the order of time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:4]}"


def artifact_digest(path: Path) -> str:
    """A digest of an artifact's files, records and event files aside: equal for equal content."""
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.relative_to(path).parts[0] not in RECORDS
    ]
    return digest(
        [(str(file.relative_to(path)), blake2b(file.read_bytes()).hexdigest()) for file in files]
    )
