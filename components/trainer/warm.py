"""A warm start: a new network begins with what an earlier Model has learned.

Rows of embeddings are carried over by token, those of bigrams by their two tokens, and columns of
the output by label, so that neither vocabulary has to be the same; all else by the name of its
layer. What is new begins as ever, with its initialiser's numbers.

A network that goes on from trained weights fits new data, and yet generalises worse than one that
starts anew on all of them. Ash and Adams, "On Warm-Starting Neural Network Training" (NeurIPS 2020,
arXiv:1910.08475), shrink the weights and perturb them, by those of a network with random numbers:
here `warm_start_shrink` of what was learned plus the rest of what a cold start would have.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from components.trainer import START_FILE, TrainerParams, counting, difference
from seqline.component import Figures
from seqline.data import features
from seqline.data.features import NUM_RESERVED_IDS, PAD_ID
from seqline.errors import UserError
from seqline.model import network
from seqline.storage.staging import local_copy, path_of

log = logging.getLogger("seqline.trainer")

# Tables of which a row belongs to a token.
TABLES = ("embedding", "skip_embedding")
# Bigrams whose rows are added up at once.
SLICE = 1 << 17


@dataclass(frozen=True)
class Matches:
    """Two vocabularies, line by line. before, now.

    Ranks of the lines that are in both, int64. num_before, num_now: lines of each.
    """

    before: np.ndarray
    now: np.ndarray
    num_before: int
    num_now: int

    def figures(self, name: str) -> Figures:
        carried = len(self.now)
        return {
            f"{name}_carried": carried,
            f"{name}_new": self.num_now - carried,
            f"{name}_lost": self.num_before - carried,
        }


def matches(before: Sequence[bytes], now: Sequence[bytes]) -> Matches:
    """What is in both of two vocabularies."""
    ranks = {line: rank for rank, line in enumerate(before)}
    found = [(ranks[line], rank) for rank, line in enumerate(now) if line in ranks]
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return Matches(pairs[:, 0], pairs[:, 1], len(before), len(now))


def vocabulary(source: Path, name: str) -> list[bytes]:
    """The lines of a vocabulary of Features or of a Model, in rank order.

    None where there is none.
    """
    path = source / "vocabularies" / name
    return path.read_bytes().split(b"\n")[:-1] if path.is_file() else []


def carry_over(
    model: keras.Model, spec: network.Spec, source: Path, params: TrainerParams
) -> Figures:
    """Puts what `params.warm_start` has learned into a new network.

    Returns how much that was. source: the Features.

    Raises UserError for a Model of another shape, one that cannot be read, and one whose training
    diverged.
    """
    place, shrink = str(params.warm_start), params.warm_start_shrink
    folder = local_copy(path_of(place))
    earlier, old = _load(place, folder)
    if old.dim != spec.dim:
        raise UserError(
            f"trainer.warm_start {place!r} is a network for {_content(old)}, and these Features"
            f" hold {_content(spec)}. Name a Model of the same content, or leave trainer.warm_start"
            " out."
        )
    if different := difference(vars(old), params):
        raise UserError(
            f"trainer.warm_start {place!r}: {different}, or leave trainer.warm_start out."
        )
    tokens, labels = (
        matches(vocabulary(folder, name), vocabulary(source, name))
        for name in (features.TOKENS_VOCABULARY, features.LABELS_VOCABULARY)
    )
    figures = (
        {**tokens.figures("tokens"), **labels.figures("labels")}
        if not spec.dim
        else labels.figures("labels")
    )
    for layer in model.layers:
        if not layer.trainable_weights:
            continue
        fresh, learned = (
            [np.array(weight) for weight in each.get_weights()]
            for each in (layer, earlier.get_layer(layer.name))
        )
        if layer.name in TABLES and not spec.dim:
            rows, rows_before = _rows(tokens)
            fresh[0][rows] = _mixed(learned[0][rows_before], fresh[0][rows], shrink)
            if layer.name == "skip_embedding" and spec.bigram_buckets:
                found, values = _bigrams(model, spec, source, earlier, old, tokens, learned[0])
                fresh[0][found] = _mixed(values, fresh[0][found], shrink)
                figures |= {
                    "bigrams_carried": len(found),
                    "bigrams_new": spec.num_bigrams - len(found),
                }
        elif layer.name == "output":
            for new, before in zip(fresh, learned, strict=True):
                new[..., labels.now] = _mixed(
                    before[..., labels.before], new[..., labels.now], shrink
                )
        else:
            fresh = [
                _mixed(before, new, shrink) for new, before in zip(fresh, learned, strict=True)
            ]
        layer.set_weights(fresh)
    log.info(
        "warm start from %s: %s",
        place,
        ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in figures.items()),
    )
    return {**figures, "in_a_row": started(folder).get("in_a_row", 0) + 1}


def started(folder: Path) -> Figures:
    """What a Model's training began with.

    Empty for a cold start. `in_a_row`: warm starts since a cold one.
    """
    path = folder / START_FILE
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _mixed(learned: np.ndarray, fresh: np.ndarray, shrink: float) -> np.ndarray:
    return learned if shrink == 1 else shrink * learned + (1 - shrink) * fresh


def _content(spec: network.Spec) -> str:
    return f"sequences of {spec.dim} numbers a time step" if spec.dim else "token ids"


def _load(place: str, folder: Path) -> tuple[keras.Model, network.Spec]:
    try:
        earlier, old = network.load(folder, training=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"trainer.warm_start {place!r} cannot be read ({str(error).splitlines()[0]}). Name"
            " another Model."
        ) from None
    for layer in earlier.layers:
        if not all(np.isfinite(weight).all() for weight in layer.get_weights()):
            raise UserError(
                f"trainer.warm_start {place!r} has weights that are no numbers (layer"
                f" {layer.name}): its training diverged. Name another Model, or leave"
                " trainer.warm_start out."
            )
    return earlier, old


def _rows(tokens: Matches) -> tuple[np.ndarray, np.ndarray]:
    """(rows of a table now, the same before) of PAD, OOV and the tokens in both vocabularies."""
    now, before = (
        np.concatenate([[PAD_ID, features.oov_id(number)], ranks + 1])  # + 1: id 0 is PAD
        for ranks, number in ((tokens.now, tokens.num_now), (tokens.before, tokens.num_before))
    )
    return now, before


def _bigrams(
    model: keras.Model,
    spec: network.Spec,
    source: Path,
    earlier: keras.Model,
    old: network.Spec,
    tokens: Matches,
    table: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(rows of bigrams in the new table, what they begin with [rows, skip_dim]).

    A bucket follows from the ids of two tokens, which another vocabulary numbers otherwise: train
    is read, and hashed by both. A row that several bigrams share begins with the mean of theirs, as
    often as each occurs; one that is new counts as zeros, as it would start.
    """
    if not old.bigram_buckets or not old.num_bigrams or not spec.num_bigrams:
        return np.zeros(0, np.int64), np.zeros((0, spec.skip_dim), np.float32)
    ids = np.zeros(spec.num_tokens + NUM_RESERVED_IDS, np.int64)
    now, before = _rows(tokens)
    ids[now] = before
    new, learned = (
        counting.Hashed(
            np.array(each.get_layer("bigrams").get_weights()[0]), features.oov_id(shape.num_tokens)
        )
        for each, shape in ((model, spec), (earlier, old))
    )
    rows, rows_before, counts = counting.bigrams_by_row(source, new, learned, ids)
    sums, weights = (
        np.zeros((spec.num_bigrams + 1, table.shape[1])),
        np.bincount(rows, counts, spec.num_bigrams + 1),
    )
    behind = np.concatenate(
        [np.zeros_like(table[:1]), table[old.num_tokens + NUM_RESERVED_IDS :]]
    )  # row 0: a bigram without one
    for first in range(0, len(rows), SLICE):
        part = slice(first, first + SLICE)
        chosen, starts = np.unique(rows[part], return_index=True)
        sums[chosen] += np.add.reduceat(
            behind[rows_before[part]] * counts[part, None].astype(np.float64), starts
        )
    found = np.unique(rows[rows_before > 0])
    values = (sums[found] / weights[found, None]).astype(np.float32)
    return spec.num_tokens + NUM_RESERVED_IDS - 1 + found, values
