"""The scikit-learn estimator: `from seqline.sklearn import SequenceClassifier`.

Importing this imports scikit-learn, not TensorFlow.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.api.estimator import SequenceClassifier as SequenceClassifier

__all__ = ["SequenceClassifier"]


def __getattr__(name: str) -> Any:
    """Loads the estimator when it is used for the first time.

    Raises:
        UserError: scikit-learn is not installed.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    from seqline.host import packages

    packages.need("seqline.sklearn", packages.LINEAR)
    from pipeline.api.estimator import SequenceClassifier

    globals()[name] = SequenceClassifier
    return SequenceClassifier
