"""How to ask a model, and by what it can be told from another: parts of its card."""

import json
from collections.abc import Iterator

from components.pusher.card_markdown import number, table
from seqline.data.blessing import InfraBlessing
from seqline.model.identity import ModelCard
from seqline.text import code


def asking(name: str, card: ModelCard) -> Iterator[str]:
    """The lines that say how to ask the model."""
    content = card.get("content", "text")
    yield "## How to ask it"
    yield ""
    if content == "sequence":
        dim = card.get("data", {}).get("dim")
        dim = dim if isinstance(dim, int) else 1
        shown = json.dumps([[0.0] * dim] * 2)
        arguments = f"sequence=tf.zeros([1, 2, {dim}]), length=tf.constant([2], tf.int64)"
        instance = f'{{"sequence": {shown}, "length": 2}}'
    elif content == "tokens":
        shown = instance = '["two", "tokens"]'
        arguments = f"tokens=tf.constant([{shown}])"
    else:
        shown = "a text"
        arguments = f'text=tf.constant(["{shown}"])'
        instance = f'"{shown}"'

    yield "With TensorFlow alone, from the folder that this file is in:"
    yield ""
    yield "```python"
    yield "import tensorflow as tf"
    yield ""
    yield 'model = tf.saved_model.load(".")'
    yield f'answer = model.signatures["serving_default"]({arguments})'
    yield 'print(answer["label"], answer["probabilities"])'
    yield "```"
    yield ""
    yield "With seqline, or from a server (`seqline serve`, TensorFlow Serving):"
    yield ""
    yield "```sh"
    yield f"seqline predict --model . '{shown}'"
    yield f"""curl -d '{{"instances": [{instance}]}}' localhost:8501/v1/models/{name}:predict"""
    yield "```"


def digests(card: ModelCard, blessing: InfraBlessing) -> Iterator[str]:
    """The lines with the digests of the model and of what it was made of."""
    yield "## Digests"
    yield ""
    rows = [["SavedModel, all its files (`digest` in assets.extra/manifest.json)", blessing.digest]]
    rows += [[f"{number(file)}", digest] for file, digest in sorted(card.get("sha256", {}).items())]
    rows += [[f"key of {number(of)}", key] for of, key in sorted(card.get("keys", {}).items())]
    rows += [[number(library), of] for library, of in sorted(card.get("libraries", {}).items())]
    tolerance = card.get("parity", {}).get("tolerance")
    if tolerance is not None:
        rows.append(["tolerance of another server's answers, in log-odds", f"{tolerance:g}"])
    yield from table(["of", "value"], [[of, code(value)] for of, value in rows])
