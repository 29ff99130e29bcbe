"""Starting weights that are not random: token vectors, or those of an earlier Model.

A warm start gives a new network what an earlier Model has learned. Rows of embeddings are carried
over by token, those of bigrams by their two tokens, and columns of the output by label, so that
neither vocabulary has to be the same; everything else by the name of its layer. What is new keeps
the random numbers of its initialiser.

A network that continues from trained weights fits new data, and yet generalises worse than one that
is trained on all of them from the beginning. Ash and Adams, "On Warm-Starting Neural Network
Training" (NeurIPS 2020, arXiv:1910.08475), shrink the weights and perturb them by the weights of a
random network: here `warm_start_shrink` of what was learned, plus the rest of what a cold start
would have.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from components.trainer import TrainerParams, counting, difference, vectors
from components.trainer.earlier import spec_of, started, vocabularies_of
from seqline.component import Figures
from seqline.data import features
from seqline.data.features import NUM_RESERVED_IDS, PAD_ID
from seqline.data.transform_summary import read_summary
from seqline.errors import DataError, UserError
from seqline.model import network
from seqline.rows.tokens import NeverOccurring
from seqline.storage.staging import local_copy, path_of

log = logging.getLogger("seqline.trainer")

# Tables of which a row belongs to a token.
TABLES = ("embedding", "skip_embedding")
# Bigrams whose rows are added up at once.
SLICE = 1 << 17


def initialize(
    model: keras.Model, spec: network.Spec, source: Path, params: TrainerParams
) -> Figures:
    """Puts the starting weights that `params` name into a new network.

    Vectors come first: what an earlier Model has learned of a token counts more.

    Args:
        source: the Features.

    Returns:
        What `_read_vectors` returns and `warm_start`, each only where `params` ask for it.
    """
    figures: Figures = {}
    if params.embeddings:
        if spec.dim:
            raise UserError(
                f"trainer.embeddings {params.embeddings!r} gives vectors of tokens, and these"
                " Features hold sequences of numbers. Leave it out."
            )
        figures |= _read_vectors(model, source, params.embeddings)
    if params.warm_start:
        figures["warm_start"] = carry_over(model, spec, source, params)
    return figures


def _read_vectors(model: keras.Model, source: Path, path: str) -> Figures:
    """Sets the embeddings of the tokens that a file of vectors has.

    Where the file has a token twice, the first one counts.

    Args:
        source: the Features.

    Returns:
        `num_tokens_with_vectors`, and `num_duplicate_vectors` where there are any.

    Raises:
        UserError: the file cannot be read, or has no vector for any token.
    """
    layer = model.get_layer("embedding")
    (table,) = (np.array(weight) for weight in layer.get_weights())  # [V + 2, embedding_dim]
    tokens = vocabulary(source, features.TOKENS_VOCABULARY)
    ids = {token: rank + 1 for rank, token in enumerate(tokens)}

    summary = read_summary(source)
    never = NeverOccurring(summary.get("tokens"), summary.get("lowercase", False))
    tokens_with_vectors = set()
    num_lines = num_duplicates = 0

    for line, token, numbers in vectors.read(path, table.shape[1], ids):
        num_lines += 1
        if token not in ids:
            never.look(token, line)
        elif token in tokens_with_vectors:
            num_duplicates += 1
        else:
            table[ids[token]] = np.array(numbers, np.float32)
            tokens_with_vectors.add(token)

    announced = vectors.num_announced(path)
    if announced is not None and announced != num_lines:
        log.warning(
            "trainer.embeddings %s: its first line says %d vectors, it holds %d. Was it cut off?",
            path,
            announced,
            num_lines,
        )
    if never.total():
        log.warning("trainer.embeddings %s: %s.", path, never.sentence(num_lines))

    if not tokens_with_vectors:
        raise UserError(
            f"trainer.embeddings {path} has no vector for any of the {len(tokens)} tokens of the"
            " vocabulary."
        )

    layer.set_weights([table])
    log.info(
        "%d of %d tokens start from vectors of %s", len(tokens_with_vectors), len(tokens), path
    )
    figures: Figures = {"num_tokens_with_vectors": len(tokens_with_vectors)}
    if num_duplicates:
        log.warning(
            "trainer.embeddings %s: %d lines repeat a known token; the first one counts.",
            path,
            num_duplicates,
        )
        figures["num_duplicate_vectors"] = num_duplicates
    return figures


@dataclass(frozen=True)
class Matches:
    """The lines that two vocabularies have in common.

    Attributes:
        before: their ranks in the earlier vocabulary, int64 [common].
        now: their ranks in the new one, int64 [common], ascending.
        num_before: lines of the earlier vocabulary.
        num_now: lines of the new one.
    """

    before: np.ndarray
    now: np.ndarray
    num_before: int
    num_now: int

    def figures(self, name: str) -> Figures:
        num_carried = len(self.now)
        return {
            f"{name}_carried": num_carried,
            f"{name}_new": self.num_now - num_carried,
            f"{name}_lost": self.num_before - num_carried,
        }


def matches(before: Sequence[bytes], now: Sequence[bytes]) -> Matches:
    """Matches two vocabularies line by line."""
    ranks = {line: rank for rank, line in enumerate(before)}
    common = [(ranks[line], rank) for rank, line in enumerate(now) if line in ranks]
    pairs = np.array(common, np.int64).reshape(-1, 2)
    return Matches(pairs[:, 0], pairs[:, 1], len(before), len(now))


def vocabulary(source: Path, name: str) -> list[bytes]:
    """The lines of a vocabulary of Features or of a Model, in rank order; [] if it has none."""
    path = source / "vocabularies" / name
    return path.read_bytes().split(b"\n")[:-1] if path.is_file() else []


def carry_over(
    model: keras.Model, spec: network.Spec, source: Path, params: TrainerParams
) -> Figures:
    """Puts what `params.warm_start` has learned into a new network.

    Args:
        source: the Features.

    Returns:
        How many tokens, labels and bigrams were carried over, are new or were lost, and
        `in_a_row`: warm starts since the last cold one, this one included.

    Raises:
        UserError: the Model has another shape, cannot be read, or its training diverged.
    """
    place, shrink = str(params.warm_start), params.warm_start_shrink
    folder = local_copy(path_of(place))
    earlier, old = _load(place, folder)
    _check_shape(place, old, spec, params)

    vocabularies = vocabularies_of(place, folder, old)
    tokens, labels = (
        matches(vocabularies.get(name, []), vocabulary(source, name))
        for name in (features.TOKENS_VOCABULARY, features.LABELS_VOCABULARY)
    )
    figures = labels.figures("labels")
    if not spec.dim:
        figures = {**tokens.figures("tokens"), **figures}

    for layer in model.layers:
        if not layer.trainable_weights:
            continue

        fresh = [np.array(weight) for weight in layer.get_weights()]
        learned = [np.array(weight) for weight in earlier.get_layer(layer.name).get_weights()]

        if layer.name in TABLES and not spec.dim:
            rows, rows_before = _token_rows(tokens)
            fresh[0][rows] = _mixed(learned[0][rows_before], fresh[0][rows], shrink)
            if layer.name == "skip_embedding" and spec.bigram_buckets:
                rows, values = _bigram_rows(model, spec, source, earlier, old, tokens, learned[0])
                fresh[0][rows] = _mixed(values, fresh[0][rows], shrink)
                figures["bigrams_carried"] = len(rows)
                figures["bigrams_new"] = spec.num_bigrams - len(rows)
        elif layer.name == "output":
            for now, before in zip(fresh, learned, strict=True):  # [..., num_classes]
                now[..., labels.now] = _mixed(
                    before[..., labels.before], now[..., labels.now], shrink
                )
        else:
            fresh = [
                _mixed(before, now, shrink) for now, before in zip(fresh, learned, strict=True)
            ]

        layer.set_weights(fresh)

    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in figures.items())
    log.info("warm start from %s: %s", place, counts)
    return {**figures, "in_a_row": started(place, folder).get("in_a_row", 0) + 1}


def _mixed(learned: np.ndarray, fresh: np.ndarray, shrink: float) -> np.ndarray:
    return learned if shrink == 1 else shrink * learned + (1 - shrink) * fresh


def _load(place: str, folder: Path) -> tuple[keras.Model, network.Spec]:
    """The earlier network, refused where it cannot be read or a weight is not finite."""
    spec_of(place, folder)
    try:
        earlier, old = network.load(folder, training=True)
    except DataError as error:
        raise UserError(f"trainer.warm_start {place!r}: {error}") from None

    for layer in earlier.layers:
        if not all(np.isfinite(weight).all() for weight in layer.get_weights()):
            raise UserError(
                f"trainer.warm_start {place!r} has weights that are not finite numbers (layer"
                f" {layer.name}): its training diverged. Name another Model, or leave"
                " trainer.warm_start out."
            )

    return earlier, old


def _check_shape(place: str, old: network.Spec, spec: network.Spec, params: TrainerParams) -> None:
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


def _content(spec: network.Spec) -> str:
    return f"sequences of {spec.dim} numbers a time step" if spec.dim else "token ids"


def _token_rows(tokens: Matches) -> tuple[np.ndarray, np.ndarray]:
    """The rows of PAD, OOV and the common tokens: (in the new table, in the earlier one)."""
    now, before = (
        np.concatenate([[PAD_ID, features.oov_id(num_tokens)], ranks + 1])  # + 1: id 0 is PAD
        for ranks, num_tokens in ((tokens.now, tokens.num_now), (tokens.before, tokens.num_before))
    )
    return now, before


def _bigram_rows(
    model: keras.Model,
    spec: network.Spec,
    source: Path,
    earlier: keras.Model,
    old: network.Spec,
    tokens: Matches,
    table: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of bigrams in the new table, and what they start with.

    A bucket follows from the ids of two tokens, and another vocabulary numbers these differently:
    so the train split is read, and hashed by both vocabularies. A row that several bigrams share
    starts with the mean of theirs, weighted by how often each occurs. A new bigram counts as zeros,
    as it would start.

    Args:
        table: the earlier skip embedding, [V + 2 + bigrams, skip_dim].

    Returns:
        (rows int64 [num], values float32 [num, skip_dim]).
    """
    if not old.bigram_buckets or not old.num_bigrams or not spec.num_bigrams:
        return np.zeros(0, np.int64), np.zeros((0, spec.skip_dim), np.float32)

    ids_before = np.zeros(spec.num_tokens + NUM_RESERVED_IDS, np.int64)  # [V + 2]: id now -> before
    now, before = _token_rows(tokens)
    ids_before[now] = before
    hashed_now, hashed_before = (
        counting.Hashed(
            np.array(network_of.get_layer("bigrams").get_weights()[0]),
            features.oov_id(shape.num_tokens),
        )
        for network_of, shape in ((model, spec), (earlier, old))
    )

    rows, rows_before, counts = counting.bigrams_by_row(
        source, hashed_now, hashed_before, ids_before
    )

    sums = np.zeros((spec.num_bigrams + 1, table.shape[1]))
    weights = np.bincount(rows, counts, spec.num_bigrams + 1)

    # [old.num_bigrams + 1, skip_dim]; row 0 is of a bigram that had none.
    learned = np.concatenate([np.zeros_like(table[:1]), table[old.num_tokens + NUM_RESERVED_IDS :]])
    for first in range(0, len(rows), SLICE):
        part = slice(first, first + SLICE)
        distinct, starts = np.unique(rows[part], return_index=True)
        sums[distinct] += np.add.reduceat(
            learned[rows_before[part]] * counts[part, None].astype(np.float64), starts
        )

    carried = np.unique(rows[rows_before > 0])
    values = (sums[carried] / weights[carried, None]).astype(np.float32)
    return spec.num_tokens + NUM_RESERVED_IDS - 1 + carried, values
