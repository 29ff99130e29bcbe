"""The flags that go to Beam, checked against Beam's own options before anything runs.

Beam itself ignores what it does not know, so that a mistyped flag would pass in silence. Importing
Beam takes two to three seconds: it is done only where there is a flag to check.
"""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from seqline.suggest import suggestion
from serving.arguments import suggested_flag

# Known without Beam.
COMMON_RUNNERS = ("DataflowRunner", "TestDataflowRunner", "FnApiRunner", "DirectRunner")


def check(flags: Sequence[str], runner: str | None = None) -> None:
    """Raises UserError for the first flag or word that is not an option of Beam's, for a value that
    it cannot be, and for an unknown runner.
    """
    if not flags and runner in (None, *COMMON_RUNNERS):
        return
    from seqline.errors import UserError

    parser = _parser(UserError)
    known, unknown = parser.parse_known_args(list(flags))
    if unknown:
        names = [name for action in parser._actions for name in action.option_strings]
        word = next((each for each in unknown if each.startswith("-")), unknown[0])
        flag = word.partition("=")[0]
        if not flag.startswith("-"):
            raise UserError(
                f"{word!r} follows `--` and is not a flag of Beam's. The configuration is named"
                " before `--`."
            )
        hint = suggested_flag(
            flag,
            names,
            "https://beam.apache.org/releases/pydoc/current/apache_beam.options.pipeline_options.html",
        )
        raise UserError(f"{flag} follows `--` and is not a flag of Beam's.{hint}")
    _check_runner(runner or getattr(known, "runner", None))


def _check_runner(runner: str | None) -> None:
    """Raises UserError for the name of a runner that Beam does not have.

    A class with its module is left to Beam.
    """
    from apache_beam.options.pipeline_options import StandardOptions

    from seqline.errors import UserError

    names = [path.rsplit(".", 1)[-1] for path in StandardOptions.ALL_KNOWN_RUNNERS]
    lower = {name.lower() for name in names}
    if (
        runner is None
        or "." in runner
        or runner.lower() in lower
        or f"{runner.lower()}runner" in lower
    ):
        return
    hint = suggestion(runner, names) or f" It has {', '.join(sorted(set(names)))}."
    raise UserError(f"Beam has no runner {runner!r}.{hint}")


def _parser(error_type: type[Exception]) -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    class Parser(_BeamArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise error_type(f"Beam's flags after `--`: {message}.")

    parser = Parser(allow_abbrev=False, add_help=False)
    for options in {str(each): each for each in PipelineOptions.__subclasses__()}.values():
        options._add_argparse_args(parser)
    assert isinstance(parser, argparse.ArgumentParser)
    return parser
