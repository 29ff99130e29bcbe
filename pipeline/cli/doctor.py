"""`seqline doctor`, as `seqline --help` lists it.

Its options are those of `python -m pipeline.doctor`, which does not need typer.
"""

import sys

import typer

from pipeline.cli import usage


def doctor(context: typer.Context) -> None:
    """Say what of this machine, its libraries and folders prevents a run.

    `seqline doctor --help` lists the flags.
    """
    from pipeline.doctor.__main__ import main

    sys.exit(main(context.args))


app = usage.single(
    doctor,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
