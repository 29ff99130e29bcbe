"""What a training starts from besides random numbers.

Token vectors from a file, an earlier Model (`components.trainer.warm`).
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from components.trainer import TrainerParams, warm
from components.trainer.warm import vocabulary
from seqline.component import Figures
from seqline.data import features
from seqline.errors import UserError
from seqline.model import network
from seqline.storage.files import open_file

log = logging.getLogger("seqline.trainer")


def carry_over(
    model: keras.Model, spec: network.Spec, source: Path, params: TrainerParams
) -> Figures:
    """Puts the starting weights into a new network; returns what had some. source: the Features.

    Vectors first: what an earlier Model has learned of a token counts more.
    """
    figures: Figures = {}
    if params.embeddings:
        figures["num_tokens_with_vectors"] = _from_vectors(
            model, vocabulary(source, features.TOKENS_VOCABULARY), params.embeddings
        )
    if params.warm_start:
        figures["warm_start"] = warm.carry_over(model, spec, source, params)
    return figures


def _from_vectors(model: keras.Model, tokens: Sequence[bytes], path: str) -> int:
    """Token vectors as GloVe, word2vec and fastText write them as text.

    A line is a token and its numbers, separated by spaces.
    """
    layer = model.get_layer("embedding")
    (table,) = (np.array(weight) for weight in layer.get_weights())
    ids = {token: number + 1 for number, token in enumerate(tokens)}
    found = set()
    with open_file(path) as file:
        for number, line in enumerate(file, start=1):
            token, *numbers = line.rstrip().split(b" ")
            if (
                number == 1 and len(numbers) == 1
            ):  # word2vec's and fastText's own first line: how many, how long
                continue
            if len(numbers) != table.shape[1]:
                raise UserError(
                    f"trainer.embeddings {path}:{number} has {len(numbers)} numbers;"
                    f" trainer.embedding_dim is {table.shape[1]}. Set one of them to the other."
                )
            if token in ids:
                try:
                    table[ids[token]] = np.array(numbers, np.float32)
                except ValueError:
                    raise UserError(
                        f"trainer.embeddings {path}:{number} holds something that is no number:"
                        f" {line[:60]!r}."
                    ) from None
                found.add(token)
    if not found:
        raise UserError(
            f"trainer.embeddings {path} has no vector for any of the {len(tokens)} tokens of the"
            " vocabulary."
        )
    layer.set_weights([table])
    log.info("%d of %d tokens start from vectors of %s", len(found), len(tokens), path)
    return len(found)
