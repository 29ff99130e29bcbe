"""`seqline serve`, `versions`, `rollback` and `promote`: what is served."""

import json
import sys
from typing import Annotated

import typer

from pipeline.cli import usage
from pipeline.cli.options import AsJson, ServingPlace


def serve(context: typer.Context) -> None:
    """Serve the pushed model over TensorFlow Serving's REST API, with a page to try it."""
    from serving import main

    sys.exit(main.main(context.args))


def versions(serving_dir: ServingPlace = "serving_dir", as_json: AsJson = False) -> None:
    """List the pushed versions: labels, digest, time of the push, test accuracy."""
    from rich.console import Console

    from components.pusher import versions
    from pipeline import identity
    from pipeline.cli import console

    listed = versions.listing(identity.find_versions(serving_dir))
    if as_json:
        print(json.dumps(listed, indent=2))
    else:
        console.print_versions(Console(), listed)


def rollback(
    to: Annotated[
        int | None,
        typer.Option(
            "--to",
            help="version to publish; if none is given, the newest earlier one that differs",
        ),
    ] = None,
    serving_dir: ServingPlace = "serving_dir",
) -> None:
    """Publish an earlier version again, as the next version, and make it stable."""
    from components.pusher import publish
    from pipeline import identity
    from seqline.host import owner

    place = identity.find_versions(serving_dir)
    done = publish.rollback(place, to, owner.who())
    print(f"{place}/{done['version']} has the files of version {done['rollback_of']} and is stable")


def promote(serving_dir: ServingPlace = "serving_dir") -> None:
    """Make the version labelled canary the stable one."""
    from components.pusher import publish
    from pipeline import identity
    from seqline.host import owner

    place = identity.find_versions(serving_dir)
    print(f"{place}/{publish.promote(place, by=owner.who())} is stable")


app = usage.single(
    serve,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
versions_app, rollback_app = usage.single(versions), usage.single(rollback)
promote_app = usage.single(promote)
