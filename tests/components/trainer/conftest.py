"""Features of a few texts and sequences, and a Model to start from."""

import json
from pathlib import Path

import pytest

from seqline.data.features import EVAL, TRAIN
from tests.support.training import SEQUENCES, TEXTS, write_features
from tests.support.warm import LABELS, WORDS, start, text_features


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the TEXTS in three shards of 7, 7 and 6 rows."""
    root = tmp_path_factory.mktemp("rows")
    made = [{"ids": text, "length": [len(text)], "label": [len(text) % 3]} for text in TEXTS]
    write_features(root, TRAIN, [made[:7], made[7:14], made[14:]])
    return root


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the SEQUENCES, the same in train and eval."""
    root = tmp_path_factory.mktemp("sequences")
    made = [
        {
            "values": [number for step in row for number in step],
            "length": [len(row)],
            "label": [index % 2],
        }
        for index, row in enumerate(SEQUENCES)
    ]

    for split in (TRAIN, EVAL):
        write_features(root, split, [made[:20], made[20:]])
    (root / "vocabularies").mkdir()
    (root / "vocabularies" / "labels").write_text("falls\nrises\n")
    summary = {"content": "sequence", "dim": 2, "max_length": 6, "num_rows": {TRAIN: 40, EVAL: 40}}
    (root / "transform.json").write_text(json.dumps(summary))
    return root


@pytest.fixture(scope="module")
def earlier_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return text_features(tmp_path_factory.mktemp("earlier") / "features", WORDS[:10], LABELS)


@pytest.fixture(scope="module")
def earlier(earlier_features: Path) -> Path:
    """A Model of ten of the twelve words."""
    output = earlier_features.parent / "model"
    start(earlier_features, output, learned=True)
    return output
