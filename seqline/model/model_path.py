"""Paths at which TensorFlow finds the files of a SavedModel. Imports nothing heavy."""

import os

# tf.saved_model.load looks for the variables by a glob in which the folder is not escaped: it finds
# nothing, or the variables of another model, too.
WILDCARDS = "*?[\\"


def problem(path: str) -> str | None:
    """Why no model at this path can be loaded, the rest of a sentence; None if one can be."""
    whole = os.path.abspath(path)
    for character in WILDCARDS:
        if character in whole:
            return f"TensorFlow takes {character!r} in the path {whole!r} for a wildcard"
    try:
        whole.encode()
    except UnicodeEncodeError:
        return f"TensorFlow takes paths in UTF-8 only, and {whole!r} is not"
    return None
