"""Reads a configuration, or tries a bucket, by means of seqline's own code.

Run by its path. Prints one line of JSON. For a configuration: its places (`root`, `serving_dir`,
`data_dir`), its `source`, its name (`config`), and `lacking`, a sentence for each package that its
run needs and that is not installed; or `error`. For a bucket: `error`, "" if it works.
"""

import json
import sys
import uuid
from collections.abc import Iterator
from typing import Any


def main() -> None:
    question = json.load(sys.stdin)
    sys.path[:] = question["path"]
    from seqline.errors import UserError

    try:
        answer = {"error": _try(question["bucket"])} if "bucket" in question else _places(question)
    except UserError as error:
        answer = {"error": str(error)}

    print(json.dumps(answer))


def _places(question: dict[str, Any]) -> dict[str, Any]:
    from pipeline.cli import chosen

    common = chosen.Common(question["config"], question["alias"], question["settings"])
    loaded = chosen.read_if_named(common, "doctor", question["places"])
    source = loaded.example_gen.source
    return {
        "root": loaded.root,
        "serving_dir": loaded.pusher.serving_dir,
        "data_dir": loaded.example_gen.data_dir,
        "source": source if isinstance(source, str) else "",
        "config": chosen.optional(common) or "the defaults",
        "lacking": list(_lacking(loaded)),
    }


def _lacking(loaded: Any) -> Iterator[str]:
    """The errors that would stop a run of this configuration before its first stage."""
    from components import evaluator, infra_validator, tuner
    from components.example_gen import sources
    from seqline.errors import UserError
    from seqline.host import packages

    checks = [
        lambda: packages.need_storage(loaded.model_dump()),
        lambda: sources.check_packages(loaded.example_gen),
        lambda: tuner.check(loaded.tuner) if loaded.tuner.is_on else None,
        lambda: evaluator.check(loaded.evaluator),
        lambda: infra_validator.check(loaded.infra_validator),
    ]
    for check in checks:
        try:
            check()
        except UserError as error:
            yield str(error)


def _try(place: str) -> str:
    """The fault of a bucket; "" if an object can be written, read and deleted."""
    from seqline.storage import conditions, objects
    from seqline.storage.files import translate_errors

    path = f"{place.rstrip('/')}/.doctor-{uuid.uuid4().hex}"
    with translate_errors(place):
        if missing := _missing_permissions(place):
            return f"this account lacks {', '.join(missing)}"

        try:
            if problem := conditions.problem_of(f"{path}-conditions"):
                return problem
            version = objects.write_object(path, b"whole", objects.ABSENT)
            content = objects.read_object(path)
        finally:
            objects.delete_object(path)

    if content != (b"whole", version):
        return f"{path} was written and read as {content}"
    return ""


def _missing_permissions(place: str) -> list[str]:
    """The permissions that this account lacks in a bucket; [] where the service tells none."""
    from pipeline.dataflow.services import PERMISSIONS
    from seqline.storage import gcs, objects

    if not objects.is_google(place):
        return []
    _, bucket, _ = objects.split(place)
    return sorted(set(PERMISSIONS) - gcs.permissions(bucket, PERMISSIONS))


if __name__ == "__main__":
    main()
