import keras
import numpy as np
import pytest
import tensorflow as tf

from components.trainer import TrainerParams
from components.trainer.optimizer import Adam, Average, clipped, learning_rate


def test_learning_rate() -> None:
    constant = TrainerParams(learning_rate=0.01, schedule="constant")
    assert float(learning_rate(constant, tf.constant(7), 100)) == pytest.approx(0.01)
    cosine = TrainerParams(learning_rate=0.01, schedule="cosine")
    rates = [float(learning_rate(cosine, tf.constant(step), 100)) for step in (0, 50, 100)]
    assert rates == pytest.approx([0.01, 0.01 * 0.525, 0.01 * 0.05])


def test_adam_is_keras_adam_on_dense_gradients() -> None:
    random = np.random.default_rng(0)
    start = random.normal(size=(3, 4)).astype(np.float32)
    gradients = random.normal(size=(5, 3, 4)).astype(np.float32)
    ours, theirs = tf.Variable(start), keras.Variable(start)
    adam, stock = Adam([ours]), keras.optimizers.Adam(0.01)
    for step, gradient in enumerate(gradients):
        adam.apply([tf.constant(gradient)], tf.constant(0.01), tf.constant(step))
        stock.apply([tf.constant(gradient)], [theirs])
    np.testing.assert_allclose(ours.numpy(), np.asarray(theirs), atol=1e-6)


def test_the_learning_rate_rises_over_the_warm_up() -> None:
    params = TrainerParams(learning_rate=0.01, schedule="linear", warmup=0.1)
    rates = [
        float(learning_rate(params, tf.constant(step), 100)) for step in (0, 4, 9, 10, 55, 100)
    ]
    assert rates == pytest.approx([0.001, 0.005, 0.01, 0.01, 0.00525, 0.0005])


def test_adam_leaves_rows_without_a_gradient_alone() -> None:
    random = np.random.default_rng(0)
    start = random.normal(size=(4, 3)).astype(np.float32)
    gradient = random.normal(size=(2, 3)).astype(np.float32)
    table, whole, small = tf.Variable(start), tf.Variable(start), tf.Variable(start[[3, 1]])
    lazy, dense, alone = Adam([table]), Adam([whole]), Adam([small])
    rate, indices = tf.constant(0.01), tf.constant([3, 1])
    for step in range(4):
        rows = tf.constant(gradient * (step - 1.5))
        lazy.apply([tf.IndexedSlices(rows, indices, tf.constant([4, 3]))], rate, tf.constant(step))
        dense.apply([tf.scatter_nd(indices[:, None], rows, [4, 3])], rate, tf.constant(step))
        alone.apply([rows], rate, tf.constant(step))

    np.testing.assert_array_equal(table.numpy()[[0, 2]], start[[0, 2]])
    np.testing.assert_allclose(table.numpy()[[3, 1]], small.numpy(), atol=1e-6)

    # In these steps every row has always had a gradient, or never.
    np.testing.assert_allclose(table.numpy(), whole.numpy(), atol=1e-6)

    lazy.apply([tf.IndexedSlices(tf.ones([1, 3]), [0], tf.constant([4, 3]))], rate, tf.constant(4))
    np.testing.assert_allclose(
        table.numpy()[[1, 2, 3]],
        np.stack([small.numpy()[1], start[2], small.numpy()[0]]),
        atol=1e-6,
    )


def test_weight_decay_is_decoupled_and_spares_biases() -> None:
    for gradient in (
        tf.zeros([2, 2]),
        tf.IndexedSlices(tf.zeros([2, 2]), tf.constant([1, 0]), tf.constant([2, 2])),
    ):
        kernel, bias = tf.Variable([[1.0, -2.0], [4.0, 8.0]]), tf.Variable([1.0, 2.0])
        Adam([kernel, bias], weight_decay=0.5).apply(
            [gradient, tf.zeros([2])], tf.constant(0.1), tf.constant(0)
        )
        np.testing.assert_allclose(kernel.numpy(), [[0.95, -1.9], [3.8, 7.6]], rtol=1e-6)
        np.testing.assert_array_equal(bias.numpy(), [1, 2])


def test_gradients_are_clipped_by_the_norm_of_all_of_them() -> None:
    gradients = [
        tf.constant([3.0]),
        tf.IndexedSlices(tf.constant([[4.0], [12.0]]), tf.constant([5, 2]), tf.constant([9, 1])),
    ]
    (dense, rows), norm = clipped(gradients, 6.5)
    assert (float(norm), float(dense[0])) == (13, 1.5)
    assert rows.values.numpy().tolist() == [[2], [6]]
    assert rows.indices.numpy().tolist() == [5, 2]
    (dense, rows), norm = clipped(gradients, 0)
    assert (float(norm), float(dense[0]), rows.values.numpy().tolist()) == (13, 3, [[4], [12]])


def test_the_average_is_that_of_tensorflow() -> None:
    ours, theirs = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
    average = Average([ours], 0.5)
    stock = tf.train.ExponentialMovingAverage(0.5, num_updates=tf.Variable(0))
    stock.apply([theirs])

    for step in range(12):
        ours.assign_add([0.5, -1.0])
        theirs.assign_add([0.5, -1.0])
        average.update(tf.constant(step))
        stock._num_updates.assign(step)  # type: ignore[attr-defined]
        stock.apply([theirs])

    np.testing.assert_allclose(
        average.averages[0].numpy(), stock.average(theirs).numpy(), rtol=1e-6
    )
