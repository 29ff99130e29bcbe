"""Rows are split by a digest of their content, where the source has no splits of its own.

Equal rows are never in two splits, and a row keeps its split when other rows come or go.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from components.example_gen import ExampleGenParams
from seqline.data import features


def split_fractions(source_splits: set[str | None], params: ExampleGenParams) -> dict[str, float]:
    """The fraction of rows that goes to each split.

    Args:
        source_splits: The splits that the source has: they take no row of another one. {None} for
            a source without splits.
        params: The fractions for splits that the source lacks.

    Returns:
        Split -> fraction of the rows of train, or of all rows where the source has no splits.
    """
    eval_fraction = 0.0 if features.EVAL in source_splits else params.eval_fraction
    test_fraction = 0.0 if features.TEST in source_splits else params.test_fraction
    return {
        features.TRAIN: 1 - eval_fraction - test_fraction,
        features.EVAL: eval_fraction,
        features.TEST: test_fraction,
    }


def identity(content: Any) -> bytes:
    """The bytes of a row's content: two rows with the same bytes hold the same content."""
    if isinstance(content, bytes):
        return content
    return b"\n".join(content) if isinstance(content, list) else content.tobytes()


def digest_of(content: bytes) -> int:
    """The digest of a row's content: 64 bits, as a number."""
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


def split_at(content_digest: int, fractions: Mapping[str, float]) -> str:
    """The split of a row whose content has this digest."""
    position = content_digest / 2**64
    for split in (features.TRAIN, features.EVAL):
        if position < fractions[split]:
            return split
        position -= fractions[split]
    return features.TEST
