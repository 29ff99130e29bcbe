"""`seqline doctor`. Its options are those of `python -m pipeline.doctor`, which needs no typer."""

import sys

import typer

from pipeline.cli import usage


def doctor(context: typer.Context) -> None:
    """Check this machine for what would stop a run: libraries, folders, accounts."""
    from pipeline.doctor.__main__ import main

    sys.exit(main(context.args))


app = usage.single(
    doctor,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
