"""The commands of the command line, as typer holds them."""

from typing import Any

import typer.main


def commands_of(app: typer.Typer) -> dict[str, Any]:
    """Every command by its name, those that load late, too."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("seqline", [], resilient_parsing=True)
    return {name: group.get_command(context, name) for name in group.list_commands(context)}
