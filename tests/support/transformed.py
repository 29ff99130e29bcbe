"""Small Examples that tests transform, and readers of the Features made of them."""

from pathlib import Path

from components.transform import TransformParams, run
from seqline.data.features import EVAL, TEST, TRAIN

Rows = dict[str, list[tuple[str, str]]]

# Counts of the train split: the 2, cat 2, dog 2, and é . , a ! once each: 11 tokens in all.
ROWS: Rows = {
    TRAIN: [
        ("The cat, the dog.", "zoo"),
        ("A cat!", "Farm"),
        ("dog E\u0301", "zoo"),
        ("", "école"),
    ],
    EVAL: [("the unknown cat", "zoo")],
    TEST: [("Dog.", "Farm")],
}
TOKENS = ["the", "dog", "cat", "é", "a", ".", ",", "!"]
LABELS = ["Farm", "zoo", "école"]
OOV = len(TOKENS) + 1


def transform(examples: Path, output: Path, **arguments: object) -> dict:
    """Runs the transform, by default with a vocabulary of all tokens.

    The arguments are params, except `span_cache` and `previous`.
    """
    extra = {name: arguments.pop(name) for name in ("span_cache", "previous") if name in arguments}
    output.mkdir(parents=True, exist_ok=True)
    return run(
        examples=examples,
        params=TransformParams(**{"min_frequency": 1, **arguments}),
        output=output,
        **extra,
    )


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]
