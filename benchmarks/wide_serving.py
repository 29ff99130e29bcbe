"""A served model with a wide part against what a user writes in plain Keras, from text to answer.

    python -m benchmarks.wide_serving ROOT [--words 200] [--rounds 7] [--seconds 3]

ROOT is the root of finished runs with one SavedModel that has a wide part (`seqline run bbc_news
--root ROOT --to exporter`). Its texts of test, cut to --words, are asked in process, in turns:

    ours      serving_default of the SavedModel; fast: serving_fast, its time loop by XLA
    network   `model.export()` of TextVectorization and the same recurrent network in Keras layers,
              without any wide part
    both      the same beside TextVectorization(ngrams=2, output_mode="tf_idf") and Dense, the
              words and pairs alone: Keras has no character n-grams of words
    wide      the latter part alone

The peers' answers are not those of the model: their linear layer has random weights, and they cut
texts at white space.
"""

import argparse
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks import common
from benchmarks.common import Table
from benchmarks.serving import NUM_REQUESTS, in_turns
from seqline.data import features
from seqline.data.examples import raw_features
from seqline.model import network

PAIRS = 65_536


def texts_of(examples: Path, split: str) -> list[str]:
    """The texts of a split, as the peers can read them: words and marks between spaces."""
    texts = []
    for path in features.shards(examples, split):
        for record in tf.data.TFRecordDataset(str(path), compression_type="GZIP"):
            row = tf.io.parse_single_example(record, raw_features(features.TEXT))
            texts.append(" ".join(re.findall(r"\w+|[^\w\s]", row["text"].numpy().decode())))
    return texts


def peers(texts: Sequence[str], model: Path, source: Path) -> dict[str, keras.Model]:
    """The peers by name, texts [batch] to probabilities.

    Args:
        texts: of train, whose most frequent pairs the linear layer reads.
        model: the Model with the recurrent part.
        source: its Features.
    """
    trained, spec = network.load(model)
    tokens = (source / "vocabularies" / features.TOKENS_VOCABULARY).read_text().split("\n")[:-1]
    pairs: Counter[str] = Counter()
    for text in texts:
        pairs.update({f"{one} {two}" for one, two in pairwise(text.lower().split())})
    terms = tokens + [pair for pair, _ in pairs.most_common(PAIRS)]

    def vectorized(**more: Any) -> layers.TextVectorization:
        return layers.TextVectorization(standardize="lower", split="whitespace", **more)

    text = keras.Input((), dtype="string", name="text")
    ids = vectorized(vocabulary=tokens, output_sequence_length=spec.max_length)(text)
    recurrent = trained(ids)
    tf_idf = vectorized(
        ngrams=2, output_mode="tf_idf", vocabulary=terms, idf_weights=np.ones(len(terms))
    )(text)
    wide = layers.Dense(spec.num_classes, activation="softmax")(tf_idf)
    pooled = layers.Softmax()(keras.ops.log(wide + 1e-9) + keras.ops.log(recurrent + 1e-9))
    return {
        "network": keras.Model(text, recurrent),
        "both": keras.Model(text, pooled),
        "wide": keras.Model(text, wide),
    }


def arguments() -> argparse.Namespace:
    parser = common.parser(__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each way at each batch")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    [exported] = (given.root / "exporter").glob("*/saved_model")
    inputs = json.loads((exported.parent / "execution.json").read_text())["inputs"]
    paths = {name: given.root / of["component"] / of["key"] for name, of in inputs.items()}
    test = [" ".join(text.split()[: given.words]) for text in texts_of(paths["examples"], "test")]
    train = texts_of(paths["examples"], "train")

    ours = tf.saved_model.load(str(exported)).signatures
    ways: dict[str, Callable[[tf.Tensor], Any]] = {
        "ours": lambda asked: ours["serving_default"](text=asked)["probabilities"],
        "fast": lambda asked: ours["serving_fast"](text=asked)["probabilities"],
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, model in peers(train, paths["model"], paths["features"]).items():
            model.export(f"{folder}/{name}", verbose=False)
            loaded = tf.saved_model.load(f"{folder}/{name}")
            ways[name] = lambda asked, loaded=loaded: loaded.serve(asked)

        table = Table(("batch", "5d"), *((name, "9.2f") for name in ways), ("in ms", "<6"))
        rows: list[dict[str, Any]] = []
        for batch in (1, 256):
            asked = [
                tf.constant([test[(number * batch + row) % len(test)] for row in range(batch)])
                for number in range(NUM_REQUESTS)
            ]
            requests: dict[str, Callable[[int], Any]] = {
                name: lambda number, way=way, asked=asked: np.asarray(way(asked[number]))
                for name, way in ways.items()
            }
            for request in requests.values():
                request(0)
            spent = in_turns(requests, given.rounds, given.seconds)
            table.row(batch, *(1000 * spent[name] for name in ways), "")
            ratios = {
                f"{way} to {peer}": round(spent[peer] / spent[way], 2)
                for way in ("ours", "fast")
                for peer in ("network", "both")
            }
            rows.append({"batch": batch, "ms": spent, "ratios": ratios})

    common.print_result({"words": given.words, "rows": rows})


if __name__ == "__main__":
    main()
