"""Whether the packages beside seqline are its own: `pipeline` and `serving` are common names.

A file or folder of such a name in the folder of a program hides them, as it would hide any module.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from seqline.errors import UserError

ROOMS = ("components", "pipeline", "serving")
HOME = Path(__file__).resolve().parents[2]


def check_rooms() -> None:
    """Refuses to import the packages of another program.

    Raises:
        UserError: One of seqline's packages is hidden by another module, or missing.
    """
    for name in ROOMS:
        spec = sys.modules[name].__spec__ if name in sys.modules else find_spec(name)
        origin = spec.origin if spec else None
        if origin and Path(origin).resolve().parent == HOME / name:
            continue
        if origin is None:
            raise UserError(f"seqline's package {name!r} is missing. Install seqline again.")
        raise UserError(
            f"{origin} hides seqline's package {name!r}. Rename it, or run the program from another"
            " folder."
        )
