"""Problems that only the services know of: buckets, and whether Dataflow lets this account work."""

import logging
from collections.abc import Iterator, Sequence

from pipeline.dataflow import capacity, rights
from pipeline.dataflow.google_api import Api
from seqline.errors import UserError
from seqline.jobs import dataflow
from seqline.jobs.dataflow import option
from seqline.storage import gcs
from seqline.storage.files import translate_errors
from seqline.storage.objects import is_google

log = logging.getLogger("seqline.dataflow")
PERMISSIONS = tuple(f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list"))


def of_services(root: str, beam_args: Sequence[str]) -> Iterator[str]:
    """Problems with services: whether the buckets and Dataflow let this account work."""
    places = {
        "root": root,
        **{name: option(beam_args, name) or "" for name in ("temp_location", "staging_location")},
    }
    buckets: dict[str, str] = {}  # bucket -> the first place in it, with its flag
    for name, place in places.items():
        if is_google(place):
            buckets.setdefault(place.removeprefix(gcs.PREFIX).partition("/")[0], f"{name} {place}")

    for bucket, place in buckets.items():
        try:
            with translate_errors(f"{gcs.PREFIX}{bucket}"):
                missing = sorted(set(PERMISSIONS) - gcs.permissions(bucket, PERMISSIONS))
            if missing:
                yield (
                    f"{place}: this account lacks {', '.join(missing)} in the bucket {bucket!r}; "
                    "the role storage.objectUser has them"
                )
        except UserError as error:
            yield f"{place}: {str(error).removeprefix(f'{gcs.PREFIX}{bucket}: ')}"

    if option(beam_args, "project") and option(beam_args, "region"):
        try:
            dataflow.client(beam_args).ping()
        except UserError as error:
            yield str(error)
            return
        yield from _of_accounts(list(buckets), beam_args)


def _of_accounts(buckets: Sequence[str], beam_args: Sequence[str]) -> Iterator[str]:
    """Problems with accounts and quotas. What may hurt, and what could not be asked, is logged."""
    api, findings = Api(beam_args), rights.Findings()
    rights.look(api, beam_args, buckets, findings)
    capacity.look(api, beam_args, buckets, findings)
    yield from findings.problems

    for note in findings.notes:
        log.warning("Dataflow: %s", note)
    if findings.not_asked:
        log.warning(
            "Dataflow: not checked, as this account may not ask: %s", ", ".join(findings.not_asked)
        )
