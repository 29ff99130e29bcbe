"""Checks the flags for Beam against Beam's own options, before anything runs.

Beam ignores flags that it does not know, so a mistyped flag would have no effect. Importing Beam
takes two to three seconds: it is imported only if there is a flag to check.
"""

import argparse
import importlib
from collections.abc import Sequence
from typing import Any, NoReturn

from seqline.suggest import suggestion
from serving.arguments import suggested_flag

# Known without Beam.
COMMON_RUNNERS = ("DataflowRunner", "TestDataflowRunner", "FnApiRunner", "DirectRunner")
DASK_ISSUE = "https://github.com/apache/beam/issues/24578"
OPTIONS_URL = (
    "https://beam.apache.org/releases/pydoc/current/apache_beam.options.pipeline_options.html"
)


def check(flags: Sequence[str], runner: str | None = None) -> None:
    """Checks that Beam has the flags and the runner.

    Args:
        flags: as they follow `--`.
        runner: the runner's name, if an option names it.

    Raises:
        UserError: Beam has no such flag or runner, or a value is wrong.
    """
    if not flags and runner in (None, *COMMON_RUNNERS):
        return
    from seqline.errors import UserError

    parser = _parser(UserError)
    known, unknown = parser.parse_known_args(list(flags))
    if unknown:
        names = [name for action in parser._actions for name in action.option_strings]
        word = next((word for word in unknown if word.startswith("-")), unknown[0])
        flag = word.partition("=")[0]

        if not flag.startswith("-"):
            raise UserError(
                f"{word!r} follows `--` and is not a flag of Beam's. The configuration is named"
                " before `--`."
            )
        hint = suggested_flag(flag, names, OPTIONS_URL)
        raise UserError(f"{flag} follows `--` and is not a flag of Beam's.{hint}")

    _check_runner(runner or getattr(known, "runner", None))


def _check_runner(runner: str | None) -> None:
    """Raises UserError if Beam has no such runner, or if it cannot run seqline's jobs."""
    from apache_beam.options.pipeline_options import StandardOptions

    from seqline.errors import UserError

    if runner is None:
        return
    if runner.rpartition(".")[2].lower() in ("daskrunner", "dask"):
        raise UserError(
            f"--runner={runner} cannot run seqline's jobs: Beam's Dask runner computes one output"
            f" of a job, and these have several ({DASK_ISSUE}). Use PrismRunner or FlinkRunner."
        )
    if "." in runner:
        _check_class(runner)
        return

    names = [path.rsplit(".", 1)[-1] for path in StandardOptions.ALL_KNOWN_RUNNERS]
    lower = {name.lower() for name in names}
    if runner.lower() in lower or f"{runner.lower()}runner" in lower:
        return

    hint = suggestion(runner, names) or f" It has {', '.join(sorted(set(names)))}."
    raise UserError(f"Beam has no runner {runner!r}.{hint}")


def _check_class(runner: str) -> None:
    """Raises UserError if a dotted name is not that of a runner's class."""
    from apache_beam.runners.runner import PipelineRunner

    from seqline.errors import UserError

    module, _, name = runner.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError) as error:
        raise UserError(f"--runner={runner} cannot be imported: {error}.") from None
    if not (isinstance(found, type) and issubclass(found, PipelineRunner)):
        raise UserError(f"--runner={runner} is not the class of a runner of Beam's.")


def _parser(error_type: type[Exception]) -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    class Parser(_BeamArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise error_type(f"Beam's flags after `--`: {message}.")

    parser = Parser(allow_abbrev=False, add_help=False)
    # A module that is imported twice has its classes twice.
    for options in {str(group): group for group in PipelineOptions.__subclasses__()}.values():
        options._add_argparse_args(parser)

    assert isinstance(parser, argparse.ArgumentParser)
    return parser
