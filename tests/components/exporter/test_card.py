import json
from hashlib import sha256
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.support.exports import LABELS


def test_the_model_card(saved_model: Path, examples: Path, features: Path, model: Path) -> None:
    card = json.loads((saved_model / "saved_model" / "assets.extra" / "model.json").read_text())
    assert card["labels"] == [label.decode() for label in LABELS]
    assert card["keys"] == {
        "examples": examples.name,
        "features": features.name,
        "model": model.name,
    }
    assert (
        card["sha256"]["vocabularies/tokens"]
        == sha256((features / "vocabularies" / "tokens").read_bytes()).hexdigest()
    )
    assert card["network"] == json.loads((model / "network.json").read_text())

    history = json.loads((model / "history.json").read_text())
    assert card["training"]["val_accuracy"] == max(history["val_accuracy"])
    assert set(card["signatures"]["summaries"]) >= set(
        tf.saved_model.load(str(saved_model / "saved_model")).signatures
    )


def test_the_proto_documents_the_signatures_and_names_the_classify_api(saved_model: Path) -> None:
    meta_graph = saved_model_pb2.SavedModel.FromString(
        (saved_model / "saved_model" / "saved_model.pb").read_bytes()
    ).meta_graphs[0]
    methods = {
        name: signature.method_name
        for name, signature in meta_graph.signature_def.items()
        if not name.startswith("__")
    }

    assert methods.pop("classify") == "tensorflow/serving/classify"
    assert set(methods.values()) == {"tensorflow/serving/predict"}

    functions = [function.signature for function in meta_graph.graph_def.library.function]
    documented = {function.summary: function for function in functions if function.summary}
    assert len(documented) == 8
    default = documented["Probabilities, likeliest label and its number for raw rows."]
    assert default.input_arg[0].description.startswith("string [batch]: texts")
    assert [argument.description.split(":")[0] for argument in default.output_arg] == [
        "int64 [batch]",
        "string [batch]",
        "float32 [batch, num_classes]",
    ]
