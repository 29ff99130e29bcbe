"""The folder in which seqline keeps what it can compute or fetch again.

Standard library only: `seqline doctor` uses it, too.
"""

import os
from pathlib import Path


def cache_folder() -> Path:
    """SEQLINE_CACHE, or `seqline` under XDG_CACHE_HOME, or ~/.cache/seqline."""
    if folder := os.environ.get("SEQLINE_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seqline"
