"""Features of a small vocabulary, and Models that a training would start from."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.trainer import TrainerParams, fit
from components.trainer.warm import initialize
from seqline.component import Figures
from seqline.data.features import EVAL, TRAIN
from seqline.model import network
from tests.support.training import write_features

# Twelve words, each of which is sometimes next to each other one.
WORDS = b"ant bee cow dog elk fox gnu hen ibis jay koi lark".split()
TEXTS = [
    [WORDS[(number * step + number) % 12] for step in range(1 + number % 5)]
    for number in range(1, 97)
]
LABELS = [b"first", b"second", b"third"]
SMALL: dict[str, Any] = {
    "embedding_dim": 4,
    "rnn_units": 4,
    "wide": False,
    "skip_dim": 4,
    "batch_size": 16,
    "num_epochs": 2,
    "bigram_buckets": 2**16,
}
# Everything that was learned, unchanged.
WHOLE = {"warm_start_shrink": 1.0}
# So small a rate that no weight changes: what a training starts with is what it ends with.
STILL = {"learning_rate": 1e-30, "num_epochs": 1}


def text_features(
    root: Path,
    tokens: Sequence[bytes],
    labels: Sequence[bytes],
    texts: Sequence[Sequence[bytes]] = TEXTS,
) -> Path:
    """Writes Features of texts as the transform numbers them.

    The label of a text says which third of the WORDS its first word is from.
    """
    ids = {token: number for number, token in enumerate(tokens, start=1)}
    classes = {label: number for number, label in enumerate(labels)}

    rows = []
    for text in texts:
        rank = WORDS.index(text[0]) if text[0] in WORDS else 0
        rows.append(
            {
                "ids": [ids.get(token, len(tokens) + 1) for token in text],
                "length": [len(text)],
                "label": [classes.get(LABELS[rank // 4], 0)],
            }
        )
    return _write(root, rows, {"tokens": tokens, "labels": labels}, {"max_length": 8, "dim": None})


def sequence_features(root: Path, labels: Sequence[bytes], dim: int = 2) -> Path:
    """Writes Features of sequences of three time steps."""
    rows = [
        {
            "values": [float((-1) ** number)] * dim * 3,
            "length": [3],
            "label": [number % len(labels)],
        }
        for number in range(48)
    ]
    return _write(root, rows, {"labels": labels}, {"max_length": 3, "dim": dim})


def _write(
    root: Path,
    rows: list[dict[str, list]],
    vocabularies: Mapping[str, Sequence[bytes]],
    summary: dict[str, Any],
) -> Path:
    write_features(root, TRAIN, [rows[16:]])
    write_features(root, EVAL, [rows[:16]])
    (root / "vocabularies").mkdir()
    for name, lines in vocabularies.items():
        (root / "vocabularies" / name).write_bytes(b"".join(line + b"\n" for line in lines))
    (root / "transform.json").write_text(
        json.dumps({"num_rows": {TRAIN: len(rows) - 16, EVAL: 16}, **summary})
    )
    return root


def start(features: Path, output: Path, learned: bool = False, **settings: object) -> Figures:
    """Writes the Model that a training would begin with.

    Args:
        learned: with other weights, as if the training had ended.

    Returns:
        The figures of what was carried over.
    """
    params = TrainerParams(**{**SMALL, **WHOLE, **settings})
    spec, counts = fit.network_spec(features, params)
    model = network.build(spec)
    if spec.bigram_buckets:
        model.get_layer("bigrams").set_weights([counts.bigram_rows(params.bigram_min_count)])
    figures = initialize(model, spec, features, params)

    if learned:
        random = np.random.default_rng(7)
        for weight in model.trainable_weights:
            weight.assign(random.normal(0, 0.5, weight.shape))

    output.mkdir()
    network.save(model, spec, output)
    shutil.copytree(features / "vocabularies", output / "vocabularies")
    return figures
