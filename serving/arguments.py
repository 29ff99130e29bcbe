"""Command lines whose errors are one line. Standard library only: `seqline doctor` uses it, too."""

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

EXIT_CODE = 2


def suggested_flag(flag: str, known: Iterable[str], help_: str) -> str:
    """A sentence about an unknown flag: the nearest known one, or the command that lists them.

    Args:
        flag: The unknown flag.
        known: The known flags.
        help_: The command that lists them.
    """
    flags = [name for name in known if name.startswith("--")]
    spelled = {name.replace("_", "-"): name for name in flags}
    if exact := spelled.get(flag.replace("_", "-")):
        return f" Did you mean {exact}?"
    close = difflib.get_close_matches(flag, flags, n=1)
    return f" Did you mean {close[0]}?" if close else f" {help_} lists the flags."


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line with the nearest known flag.

    Flags cannot be abbreviated.
    """

    def __init__(self, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    # No namespace is ever given, so the forms of argparse that take one are left out.
    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Ends the program with exit code 2 for a word or a flag that it does not know."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._sentence(unknown))
        return parsed

    def _sentence(self, unknown: Sequence[str]) -> str:
        flag = next((word.partition("=")[0] for word in unknown if word.startswith("-")), None)
        if flag is None:
            return (
                f"{self.prog} does not take the word {unknown[0]!r}; {self.prog} --help lists what"
                " it takes."
            )

        known = [name for action in self._actions for name in action.option_strings]
        return (
            f"{self.prog} has no flag {flag}.{suggested_flag(flag, known, f'{self.prog} --help')}"
        )

    def error(self, message: str) -> NoReturn:
        """Prints the one line and ends the program."""
        print(f"error: {message}{'' if message.endswith(('.', '?')) else '.'}", file=sys.stderr)
        sys.exit(EXIT_CODE)
