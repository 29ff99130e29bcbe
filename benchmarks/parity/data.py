"""The rows that the networks are trained on: real data sets, and two that are drawn."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common

# name -> settings of the transform
TRANSFORMS: dict[str, dict[str, Any]] = {
    "bbc200": {"max_length": 200},
    "bbc500": {"max_length": 500},
    "surnames": {"tokens": "char"},
    "waves500": {"max_length": 500},
    "classes20": {"max_length": 200},
}
# What the artifacts of one network are: (name, its folder).
Row = tuple[Any, str]


def texts(path: Path, number: int) -> list[Row]:
    rows = common.read_jsonl(path)
    chosen = np.random.default_rng(0).permutation(len(rows))[:number]
    return [
        (rows[place].get("text", rows[place].get("sequence")), str(rows[place]["label"]))
        for place in chosen
    ]


def bbc(number: int) -> list[Row]:
    from components.example_gen.bbc_news import articles

    files = sorted(articles())
    chosen = np.random.default_rng(0).permutation(len(files))[:number]
    return [
        (files[place].read_text(encoding="utf-8", errors="replace"), files[place].parent.name)
        for place in chosen
    ]


def many_classes(data: Path, num_classes: int, number: int, length: int) -> list[Row]:
    """News words in random order; each class has five words of its own, of which a row has some."""
    words = [
        word
        for text, _ in texts(data / "agnews_small" / "train.jsonl", 3000)
        for word in text.lower().split()
        if word.isalpha()
    ]
    random = np.random.default_rng(1)
    rare = [word for word, count in Counter(words).most_common() if count < 40][: 5 * num_classes]

    rows = []
    for place in range(number):
        label = place % num_classes
        chosen = [
            str(word) for word in random.choice(words, int(random.integers(length // 4, length)))
        ]
        for word in random.choice(rare[5 * label : 5 * label + 5], 3):
            chosen.insert(int(random.integers(len(chosen))), str(word))
        rows.append((" ".join(chosen), f"class {label:03}"))

    return rows


def waves(number: int) -> list[Row]:
    """A noisy sine beside noise, 250 to 500 steps; the class is its period."""
    random = np.random.default_rng(0)
    rows = []
    for place in range(number):
        time, period = int(random.integers(250, 501)), (3, 5, 8, 13)[place % 4]
        wave = np.sin(2 * np.pi * (np.arange(time) / period + random.random())) + random.normal(
            scale=0.3, size=time
        )
        rows.append((np.stack([wave, random.normal(size=time)], axis=1), str(period)))
    return rows


def rows_of(name: str, data: Path, number: int) -> list[Row]:
    if name.startswith("bbc"):
        return bbc(number)
    if name.startswith("classes"):
        num_classes = int(name.removeprefix("classes"))
        return many_classes(
            data, num_classes, max(number, 5 * num_classes), 200 if num_classes == 20 else 30
        )
    if name == "waves500":
        return waves(number)
    folder = {"sms": "sms_spam", "agnews": "agnews_small", "vowels": "japanese_vowels"}.get(
        name, name
    )
    return texts(data / folder / "train.jsonl", number * (4 if name == "surnames" else 1))


def write_examples(rows: list[Row], output: Path) -> None:
    from seqline.data.examples import ExampleShard, shard_name, write
    from seqline.data.manifest import Manifest, Span, write_manifest

    content: Any = "text" if isinstance(rows[0][0], str) else "sequence"
    counts, half = {}, len(rows) // 2

    for split, chosen in (("train", rows), ("eval", rows[:half]), ("test", rows[half:])):
        (output / f"Split-{split}").mkdir(parents=True)
        contents = [
            text.encode() if content == "text" else np.array(text, np.float32) for text, _ in chosen
        ]
        shard = ExampleShard(
            0, split, shard_name(0, 0, 0), contents, [label.encode() for _, label in chosen]
        )
        write(shard, output / f"Split-{split}" / shard.name, content)
        counts[split] = dict(Counter(label for _, label in chosen))

    dim = None if content == "text" else len(rows[0][0][0])
    write_manifest(Manifest(content, dim, (Span(0, "benchmark", num_rows=counts),)), output)


def prepared(name: str, data: Path, number: int, root: Path) -> tuple[Path, Path]:
    """(Examples, Features) of a data set."""
    from components import transform

    examples, features = root / "data" / name / "examples", root / "data" / name / "features"
    if not (features / "transform.json").exists():
        write_examples(rows_of(name, data, number), examples)
        features.mkdir()
        transform.run(
            examples=examples,
            params=transform.TransformParams(**TRANSFORMS.get(name, {})),
            output=features,
        )
    return examples, features
