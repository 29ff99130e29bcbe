"""What a training starts from besides random numbers: an earlier Model, or token vectors from a file.

Rows of embeddings are carried over by token and columns of the output by label, so that neither vocabulary has to be the same.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from components import features, network
from components.base import Figures, UserError
from components.features import NUM_RESERVED_IDS
from components.files import open_file
from components.trainer import TrainerParams

log = logging.getLogger("seqline.trainer")

# What an earlier network must have in common with the new one.
SHARED = ("dim", "embedding_dim", "rnn_units", "num_layers", "bidirectional", "pooling", "skip_dim")


def vocabulary(source: Path, name: str) -> list[bytes]:
    """The lines of a vocabulary of Features or of a Model, in rank order; none where there is none."""
    path = source / "vocabularies" / name
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def carry_over(model: keras.Model, spec: network.Spec, source: Path, params: TrainerParams) -> Figures:
    """Puts the starting weights into a new network; returns how many tokens and labels had some. source: the Features."""
    figures: Figures = {}
    if params.warm_start:
        figures |= _from_model(model, spec, source, Path(params.warm_start))
    if params.embeddings:
        figures["num_tokens_with_vectors"] = _from_vectors(model, vocabulary(source, features.TOKENS_VOCABULARY), params.embeddings)
    return figures


def _from_model(model: keras.Model, spec: network.Spec, source: Path, folder: Path) -> Figures:
    earlier, old = network.load(folder)
    for name in SHARED:
        if getattr(old, name) != getattr(spec, name):
            raise UserError(
                f"trainer.warm_start {str(folder)!r} has {name} {getattr(old, name)}, this model {getattr(spec, name)}. "
                f"Set trainer.{name} = {getattr(old, name)}, or leave warm_start out."
            )
    tokens, labels = (
        _matches(vocabulary(folder, name), vocabulary(source, name)) for name in (features.TOKENS_VOCABULARY, features.LABELS_VOCABULARY)
    )
    is_same_vocabulary = len(tokens) == old.num_tokens == spec.num_tokens and all(new == before for before, new in tokens)
    for layer in model.layers:
        if not layer.trainable_weights:
            continue
        weights = [np.array(weight) for weight in earlier.get_layer(layer.name).get_weights()]
        if layer.name in ("embedding", "skip_embedding") and not spec.dim:
            own = np.array(layer.get_weights()[0])
            _carry_rows(own, weights[0], tokens, spec, old)
            if layer.name == "skip_embedding" and is_same_vocabulary:  # a bigram's bucket follows from the ids of its tokens
                _carry_bigrams(own, weights[0], model, earlier, spec, old)
            weights = [own]
        elif layer.name == "output":
            before, now = ([pair[side] for pair in labels] for side in (0, 1))
            theirs, weights = weights, [np.array(weight) for weight in layer.get_weights()]
            for mine, earlier_ones in zip(weights, theirs, strict=True):
                mine[..., now] = earlier_ones[..., before]
        layer.set_weights(weights)
    log.info("starting from %s: %d of %d tokens, %d of %d labels", folder, len(tokens), spec.num_tokens, len(labels), spec.num_classes)
    return {"num_tokens_carried_over": len(tokens), "num_labels_carried_over": len(labels)}


def _matches(before: Sequence[bytes], now: Sequence[bytes]) -> list[tuple[int, int]]:
    """(rank in the one, rank in the other) of what is in both."""
    ranks = {line: rank for rank, line in enumerate(before)}
    return [(ranks[line], rank) for rank, line in enumerate(now) if line in ranks]


def _carry_rows(own: np.ndarray, earlier: np.ndarray, tokens: Sequence[tuple[int, int]], spec: network.Spec, old: network.Spec) -> None:
    own[features.PAD_ID] = earlier[features.PAD_ID]
    own[features.oov_id(spec.num_tokens)] = earlier[features.oov_id(old.num_tokens)]
    for before, now in tokens:
        own[1 + now] = earlier[1 + before]  # +1: id 0 is PAD


def _carry_bigrams(
    own: np.ndarray, earlier: np.ndarray, model: keras.Model, trained: keras.Model, spec: network.Spec, old: network.Spec
) -> None:
    if not spec.bigram_buckets or spec.bigram_buckets != old.bigram_buckets:
        return
    now, before = (np.array(each.get_layer("bigrams").get_weights()[0]) for each in (model, trained))
    both = (now > 0) & (before > 0)
    own[spec.num_tokens + NUM_RESERVED_IDS - 1 + now[both]] = earlier[old.num_tokens + NUM_RESERVED_IDS - 1 + before[both]]


def _from_vectors(model: keras.Model, tokens: Sequence[bytes], path: str) -> int:
    """Token vectors as GloVe, word2vec and fastText write them as text: a line is a token and its numbers, separated by spaces."""
    layer = model.get_layer("embedding")
    (table,) = (np.array(weight) for weight in layer.get_weights())
    ids = {token: number + 1 for number, token in enumerate(tokens)}
    found = set()
    with open_file(path) as file:
        for number, line in enumerate(file, start=1):
            token, *numbers = line.rstrip().split(b" ")
            if number == 1 and len(numbers) == 1:  # word2vec's and fastText's own first line: how many, how long
                continue
            if len(numbers) != table.shape[1]:
                raise UserError(
                    f"trainer.embeddings {path}:{number} has {len(numbers)} numbers; trainer.embedding_dim is {table.shape[1]}. "
                    "Set one of them to the other."
                )
            if token in ids:
                try:
                    table[ids[token]] = np.array(numbers, np.float32)
                except ValueError:
                    raise UserError(f"trainer.embeddings {path}:{number} holds something that is no number: {line[:60]!r}.") from None
                found.add(token)
    if not found:
        raise UserError(f"trainer.embeddings {path} has no vector for any of the {len(tokens)} tokens of the vocabulary.")
    layer.set_weights([table])
    log.info("%d of %d tokens start from vectors of %s", len(found), len(tokens), path)
    return len(found)
