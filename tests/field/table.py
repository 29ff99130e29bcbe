"""Prints what becomes of every input: a line each, and how many are wrong.

python -m tests.field.table [NAME...]
"""

import os
import sys
import tempfile
from pathlib import Path

from tests.field import file_cases, more_file_cases, text_cases, wild_cases
from tests.field.case import Outcome, run

CASES = {
    **text_cases.CASES,
    **file_cases.CASES,
    **wild_cases.CASES,
    **more_file_cases.CASES,
}


def shown(outcome: Outcome, folder: str) -> str:
    """The rows, or the error, in one line."""
    said = outcome.said.replace(folder + "/", "").splitlines() or [""]
    line = said[0] if outcome.num_rows is not None else said[-1]
    return line if len(line) <= 150 else line[:147] + "..."


def main(names: list[str]) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    num_wrong = 0
    for name, case in CASES.items():
        if names and name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcome = run(case, Path(folder))
            reason = case.wrong(outcome)
        num_wrong += bool(reason)
        verdict = f"WRONG, {reason}" if reason else "right"
        print(f"{case.item:2d} | {name} | {verdict} | {shown(outcome, folder)}", flush=True)

    print(f"{num_wrong} of {len(names or CASES)} wrong")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
