"""The networks that are measured, and their training."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parity.defects import defects

PLAIN: dict[str, Any] = {"skip_dim": 0, "bigram_buckets": 0, "bidirectional": False}
LAST: dict[str, Any] = {"pooling": "last"}
STRONG: dict[str, Any] = {"learning_rate": 2e-2, "clip_norm": 0.0, "num_epochs": 12}
# name -> (data set, settings of the trainer)
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "tutorial, T=256": ("bbc256", LAST),
    "tutorial, T=200": ("bbc200", LAST),
    "tutorial, T=500": ("bbc500", LAST),
    "tutorial, U=128": ("bbc200", {**LAST, "rnn_units": 128}),
    "tutorial, U=16": ("bbc200", {**LAST, "rnn_units": 16}),
    "tutorial, 5 epochs": ("bbc256", {**LAST, "num_epochs": 5}),
    "tutorial, strong": ("bbc200", {**LAST, **STRONG, "num_epochs": 6}),
    "tutorial, masking": ("bbc500", {**LAST, "masking": True}),
    "tutorial, 2 layers": ("bbc200", {**LAST, "num_layers": 2}),
    "tutorial, 2 directions": ("bbc200", {**LAST, "bidirectional": True}),
    "tutorial, gain 1.5": ("bbc200", {**LAST, "recurrent_gain": 1.5}),
    "tutorial, 2 classes": ("sms", {**LAST, **STRONG}),
    "tutorial, 20 classes": ("classes20", LAST),
    "default, T=500": ("bbc500", {}),
    "default, T=256": ("bbc256", {}),
    "default, strong": ("bbc200", STRONG),
    "default, 2 classes": ("mr", {}),
    "default, 2 classes, strong": ("sms", STRONG),
    "default, 6 classes": ("trec6", {}),
    "default, 20 classes": ("classes20", {}),
    "default, 150 classes": ("classes150", {"num_epochs": 6}),
    "default, 2 layers": ("agnews", {"num_layers": 2}),
    "default, U=128": ("agnews", {"rnn_units": 128, "embedding_dim": 128}),
    "default, no masking": ("agnews", {"masking": False}),
    "default, mean": ("agnews", {"pooling": "mean"}),
    "default, mean_max": ("agnews", {"pooling": "mean_max"}),
    "plain max": ("agnews", PLAIN),
    "plain max, strong": ("trec6", {**PLAIN, **STRONG}),
    "plain mean, T=500": ("bbc500", {**PLAIN, "pooling": "mean"}),
    "plain max, gain 1": ("bbc200", {**PLAIN, "recurrent_gain": 1.0, "num_epochs": 4}),
    "characters, 18 classes": ("surnames", {}),
    "sequences": ("vowels", {"num_epochs": 4}),
    "sequences, last": ("vowels", {"pooling": "last", "num_epochs": 4}),
    "sequences, T=500": ("waves500", {"num_epochs": 3, "min_epoch_steps": 8}),
    "sequences, mean, T=500": (
        "waves500",
        {**PLAIN, "pooling": "mean", "recurrent_gain": 1.0, "num_epochs": 3, "min_epoch_steps": 8},
    ),
    "sequences, 2 layers": ("vowels", {**PLAIN, "num_layers": 2, "num_epochs": 4}),
}


def train(name: str, examples: Path, features: Path, output: Path) -> None:
    """Trains and exports a network.

    What it answers by itself goes into network.npz, what defects change into defects.npz.
    """
    import keras

    from components import trainer
    from components.exporter import ExporterParams, export, parity
    from components.exporter.parity_rows import choose_rows

    settings = {"num_epochs": 3, "batch_size": 16, **NETWORKS[name][1]}
    model = output / "model"
    model.mkdir(parents=True)
    trainer.run(features=features, params=trainer.TrainerParams(**settings), output=model)
    params = ExporterParams()
    rows = choose_rows(examples, features, params)
    export.write(examples, features, model, params, output / "saved_model", rows)
    transformed, probabilities = parity.expected(rows, features, model)
    exact = parity.expected(rows, features, model, dtype="float64")[1]
    np.savez(
        output / "network.npz", float32=probabilities, float64=exact, label=transformed["label"]
    )
    np.savez(output / "defects.npz", **dict(defects(model, transformed)))
    keras.backend.clear_session()
