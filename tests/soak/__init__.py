"""Long tests under faults: `make soak` runs them all.

Each one is a module with arguments of its own, `python -m tests.soak.kills --kills 50`. It prints a
table and, as its last line, one JSON object; its exit code is 1 if anything was wrong.
"""

import json
from pathlib import Path
from typing import Any

DATA = Path("../shared/data")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file.

    Raises:
        SystemExit: The file does not exist.
    """
    if not path.is_file():
        raise SystemExit(f"{path} does not exist. Name the folder of the data sets with --data.")
    with path.open(newline="\n", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
