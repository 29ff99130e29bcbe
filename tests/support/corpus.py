"""A small labelled corpus, and Examples of rows that a test gives."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.trainer import TrainerParams
from components.transform import TransformParams
from seqline.data.examples import Content, ExampleShard, shard_name, write
from seqline.data.manifest import MANIFEST, Manifest, Span, read_manifest, write_manifest

TOPICS = {
    "animals": ["cat", "dog", "horse", "bird", "fish", "whale", "mouse", "goat", "sheep", "lion"],
    "fruit": ["apple", "pear", "plum", "cherry", "grape", "melon", "peach", "fig", "lemon", "lime"],
    "metals": [
        "iron",
        "gold",
        "copper",
        "zinc",
        "tin",
        "lead",
        "silver",
        "nickel",
        "cobalt",
        "chrome",
    ],
}
# Small enough for a second a test, large enough to be learned.
TRAINER_PARAMS = TrainerParams(
    wide=False,
    bidirectional=False,
    embedding_dim=8,
    rnn_units=8,
    skip_dim=8,
    batch_size=16,
    num_epochs=6,
)
TRANSFORM_PARAMS = TransformParams(min_frequency=1, max_length=8)
# About the same for commands, which a test gives the number of epochs.
SMALL_SETTINGS = {
    "transform.max_length": 8,
    "transform.min_frequency": 1,
    "trainer.embedding_dim": 8,
    "trainer.rnn_units": 8,
    "trainer.wide": "false",
    "trainer.skip_dim": 8,
    "trainer.batch_size": 16,
}


def set_flags(settings: Mapping[str, object]) -> list[str]:
    """The flags of a command that set these."""
    return [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


def corpus_rows(num_rows: int = 240) -> list[dict[str, str]]:
    """Texts of four to seven words of a topic with common words between, the same each time and no
    two the same.
    """
    rows = []
    for number in range(num_rows):
        label = sorted(TOPICS)[number % 3]
        words = TOPICS[label]
        chosen = [words[(number * step + step) % 10] for step in range(1, 3 + number % 4)]
        rows.append({"text": f"The {' and '.join(chosen)}, No. {number}!", "label": label})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
    )
    return path


def write_examples(
    root: Path,
    rows: Mapping[str, Sequence[tuple[Any, str]]],
    content: Content = "text",
    num_shards: int = 1,
    span: int = 0,
    key: str = "key",
) -> Path:
    """Writes Examples of {split: (content, label) rows}.

    Called again with another span, it adds that span.
    """
    spans = read_manifest(root).spans if (root / MANIFEST).exists() else ()
    counts = {split: dict(Counter(label for _, label in rows[split])) for split in rows}

    dim = None
    for split, chosen in rows.items():
        (root / f"Split-{split}").mkdir(parents=True, exist_ok=True)
        for source in range(num_shards):
            contents: list[Any] = [content for content, _ in chosen[source::num_shards]]
            if content == "text":
                contents = [value.encode() for value in contents]
            elif content == "tokens":
                contents = [[token.encode() for token in value] for value in contents]
            else:
                contents = [np.array(value, np.float32) for value in contents]
                dim = contents[0].shape[1] if contents else dim

            if contents:
                shard = ExampleShard(
                    span,
                    split,
                    shard_name(span, source, 0),
                    contents,
                    [label.encode() for _, label in chosen[source::num_shards]],
                )
                write(shard, root / f"Split-{split}" / shard.name, content)

    write_manifest(
        Manifest(
            content, dim, (*spans, Span(span, key, None, sum(map(len, rows.values())), counts))
        ),
        root,
    )
    return root
