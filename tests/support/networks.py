"""Small networks."""

import keras
import numpy as np
from keras import layers

from seqline.model.fast_rnn import DistinctEmbedding, FastSimpleRNN
from seqline.model.network import Spec
from seqline.model.time_loops import LEAST_TIME

TOKENS = 11
IDS = np.random.default_rng(0).integers(0, TOKENS, (5, 2 * LEAST_TIME + 3))

SPEC = Spec(
    num_tokens=9,
    num_classes=3,
    max_length=6,
    embedding_dim=4,
    rnn_units=5,
    bidirectional=False,
    pooling="max",
    masking=True,
    recurrent_gain=0.5,
    embedding_scale=0.5,
    word_dropout=0.1,
    dropout=0.3,
    skip_dim=3,
    skip_gain=8.0,
    skip_dropout=0.3,
    branch_dropout=0.5,
    seed=0,
)


def recurrent_model(fast: bool) -> keras.Model:
    """Embedding, SimpleRNN, maximum and Dense: ids [batch, time] -> probabilities [batch, 2]."""
    ids = keras.Input((None,), dtype="int64")
    if fast:
        rows, positions = DistinctEmbedding(TOKENS, 3, name="embedding")(ids)
        states = FastSimpleRNN(4, return_sequences=True, name="rnn")(rows, positions=positions)
    else:
        embedded = layers.Embedding(TOKENS, 3, name="embedding")(ids)
        states = layers.SimpleRNN(4, return_sequences=True, name="rnn")(embedded)
    highest = layers.GlobalMaxPooling1D()(states)
    output = layers.Dense(2, activation="softmax", name="output")(highest)
    return keras.Model(ids, output)
