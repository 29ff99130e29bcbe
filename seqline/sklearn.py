"""The scikit-learn estimator: `from seqline.sklearn import SequenceClassifier`.

Importing this imports scikit-learn, not TensorFlow.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# What type checkers read: at run time `__getattr__` loads it from the room above.
if TYPE_CHECKING:
    from pipeline.api.estimator import SequenceClassifier

__all__ = ["SequenceClassifier"]


def __getattr__(name: str) -> Any:
    """Loads the estimator when it is used for the first time.

    Raises:
        UserError: scikit-learn is not installed, or a module hides a package of seqline.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    from seqline.host import packages
    from seqline.host.rooms import check_rooms

    check_rooms()
    packages.need("seqline.sklearn", packages.LINEAR)
    value = getattr(import_module("pipeline.api.estimator"), name)
    globals()[name] = value
    return value
