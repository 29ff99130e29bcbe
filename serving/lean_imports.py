"""Imports TensorFlow without what it imports only where it finds it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Keras brings scikit-learn and pandas along. A SavedModel is a graph: serving it needs none of
# them, and they would be a third of the time to start.
NOT_NEEDED = {"keras", "tf_keras", "scipy", "googleapiclient"}


class _Without:
    """A finder of modules that does not find those of NOT_NEEDED."""

    def __init__(self, finder: Any) -> None:
        self.finder = finder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] in NOT_NEEDED:
            return None
        return self.finder.find_spec(name, path, target)


@contextmanager
def tensorflow_alone() -> Iterator[None]:
    """Within the block an import does not find the modules of NOT_NEEDED.

    What TensorFlow did not find it goes without until the process ends, so this is for processes
    that only serve.
    """
    sys.meta_path[:] = map(_Without, sys.meta_path)
    try:
        yield
    finally:
        # A library, such as six, may have added a finder of its own.
        sys.meta_path[:] = [
            finder.finder if isinstance(finder, _Without) else finder for finder in sys.meta_path
        ]
