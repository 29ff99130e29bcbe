"""The numbers of versions."""

import re


def version_number(name: str) -> int | None:
    """The version that a folder's name stands for, as TensorFlow Serving reads it.

    It is an integer of 64 bits that may begin with zeros: 00000123 is version 123. None for every
    other name.
    """
    if not re.fullmatch("[0-9]{1,255}", name) or int(name) >= 1 << 63:
        return None
    return int(name)
