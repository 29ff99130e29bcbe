"""The served network has the probabilities of the network of Keras layers, for every Spec."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.exporter.bigrams import narrow_buckets, wide_buckets
from components.exporter.folded import BATCH_SIZES, FoldedNetwork, fold
from components.exporter.tables import Table
from seqline.model.layers import bigram_buckets
from seqline.model.network import Spec, build
from tests.support.networks import SPEC

MAX_LENGTH = 20
SPECS = st.fixed_dictionaries(
    {
        "dim": st.sampled_from([0, 0, 2]),
        "bidirectional": st.booleans(),
        "num_layers": st.integers(1, 2),
        "pooling": st.sampled_from(["last", "mean", "max", "mean_max"]),
        "masking": st.booleans(),
        "skip_dim": st.sampled_from([0, 2, 4]),  # less than the classes, and more
        "bigram_buckets": st.sampled_from([0, 16]),
    }
)


def random_network(spec: Spec, random: np.random.Generator) -> keras.Model:
    model = build(spec, training=False)
    for layer in model.layers:
        if layer.name == "bigrams":
            layer.set_weights(
                [random.integers(0, spec.num_bigrams + 1, spec.bigram_buckets).astype(np.int32)]
            )
        elif layer.weights:
            layer.set_weights(
                [
                    weight + random.normal(scale=0.4, size=weight.shape)
                    for weight in layer.get_weights()
                ]
            )
    return model


def answer(
    served: FoldedNetwork, content: np.ndarray, length: np.ndarray, **how: bool
) -> np.ndarray:
    kind = (
        tf.TensorSpec([None, None, 2], tf.float32)
        if served.spec.dim
        else tf.TensorSpec([None, None], tf.int64)
    )
    ask = tf.function(
        lambda *row: served.probabilities(*row, **how),
        [kind, tf.TensorSpec([None], tf.int64)],
        autograph=False,
    )
    return ask.get_concrete_function()(tf.constant(content), tf.constant(length, tf.int64)).numpy()


def random_rows(
    spec: Spec, random: np.random.Generator, batch: int, time: int
) -> tuple[np.ndarray, np.ndarray]:
    time = time if spec.masking else spec.max_length
    length = random.integers(0, time + 1, batch)
    if spec.dim:
        return random.normal(size=(batch, time, 2)).astype(np.float32), length
    return (
        random.integers(1, spec.num_tokens + 2, (batch, time))
        * (np.arange(time) < length[:, None]),
        length,
    )


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(SPECS, st.integers(1, 5), st.integers(1, MAX_LENGTH), st.booleans())
def test_it_is_the_network_for_every_spec(kind: dict, batch: int, time: int, fast: bool) -> None:
    random = np.random.default_rng(batch * 100 + time)
    spec = replace(SPEC, **kind, max_length=MAX_LENGTH, num_tokens=0 if kind["dim"] else 9)
    if spec.dim or not spec.skip_dim:
        spec = replace(spec, bigram_buckets=0)
    spec = replace(spec, num_bigrams=3 if spec.bigram_buckets else 0)
    model = random_network(spec, random)
    content, length = random_rows(spec, random, batch, time)
    expected = np.asarray(model((content, length) if spec.dim else content))
    np.testing.assert_allclose(
        answer(fold(model, spec), content, length, fast=fast), expected, atol=1e-6
    )


DEFAULT = replace(SPEC, max_length=MAX_LENGTH, bigram_buckets=16, num_bigrams=3)


@pytest.mark.parametrize("fast", [False, True])
def test_no_row_gives_no_row(fast: bool) -> None:
    random = np.random.default_rng(0)
    served = fold(random_network(DEFAULT, random), DEFAULT)
    assert answer(served, np.zeros((0, 1), np.int64), np.zeros(0, np.int64), fast=fast).shape == (
        0,
        3,
    )


def test_more_rows_than_the_largest_compiled_batch() -> None:
    random = np.random.default_rng(0)
    model = random_network(DEFAULT, random)
    content, length = random_rows(DEFAULT, random, BATCH_SIZES[-1] + 3, 7)
    np.testing.assert_allclose(
        answer(fold(model, DEFAULT), content, length, fast=True),
        np.asarray(model(content)),
        atol=1e-6,
    )


@pytest.mark.parametrize(("dtype", "error"), [("bfloat16", 2**-8), ("int8", 1 / 254)])
def test_narrow_tables_are_off_by_less_than_half_a_step(dtype: str, error: float) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 16))
    rows[3] = 0
    narrow = Table(rows, dtype, "table")(tf.range(50)).numpy()  # type: ignore[arg-type]
    limit = error * np.abs(rows).max(axis=1, keepdims=True)
    assert (np.abs(narrow - rows) <= limit * 1.01).all()
    assert not narrow[3].any()


@pytest.mark.parametrize("dtype", ["int16", "bfloat16", "int8"])
@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_narrow_tables_answer_about_the_same(dtype: str, pooling: str) -> None:
    spec = replace(DEFAULT, pooling=pooling)
    random = np.random.default_rng(0)
    model = random_network(spec, random)
    content, length = random_rows(spec, random, 8, 9)
    difference = np.abs(
        answer(fold(model, spec, table_dtype=dtype), content, length) - np.asarray(model(content))
    )
    assert 0 < difference.max() < 0.05


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**20 - 1), min_size=1, max_size=20), st.integers(1, 2**20 - 1))
def test_bigrams_are_hashed_to_the_same_integers(ids: list[int], num_buckets: int) -> None:
    row = np.array([ids], np.int64)
    expected = bigram_buckets(row, num_buckets, 7)
    for hashed in (wide_buckets, narrow_buckets):
        for got, wanted in zip(hashed(tf.constant(row), num_buckets, 7), expected, strict=True):
            np.testing.assert_array_equal(got.numpy(), wanted)
