"""`layers.bigram_buckets` in two ways that suit a serving graph; both give the same integers."""

import tensorflow as tf

from seqline.data.features import PAD_ID
from seqline.model.layers import HASH_FIRST, HASH_SECOND


def wide_buckets(ids: tf.Tensor, num_buckets: int, oov: int) -> tuple[tf.Tensor, tf.Tensor]:
    """By shifts in place of divisions: nothing is negative, and shifts take a third of the time.

    See `seqline.model.layers.bigram_buckets` for arguments and results.
    """
    first, second = ids[:, :-1], ids[:, 1:]
    known = (first != PAD_ID) & (first != oov) & (second != PAD_ID) & (second != oov)
    return _high(_low(first * HASH_FIRST + second * HASH_SECOND, 32) * num_buckets, 32), known


def narrow_buckets(ids: tf.Tensor, num_buckets: int, oov: int) -> tuple[tf.Tensor, tf.Tensor]:
    """In 32 bits, for runtimes that have no other integers (OpenVINO on a CPU).

    For ids and buckets below 2 ** 20.
    """
    ids = tf.cast(ids, tf.int32)
    first, second = ids[:, :-1], ids[:, 1:]
    known = (first != PAD_ID) & (first != oov) & (second != PAD_ID) & (second != oov)
    high, low = _product(first, HASH_FIRST)
    high_second, low_second = _product(second, HASH_SECOND)
    low += low_second
    high = _low(high + high_second + _high(low, 16), 16)
    low = _low(low, 16)

    # (high * 2 ** 16 + low) * num_buckets // 2 ** 32, by the bytes of num_buckets.
    above, below = divmod(num_buckets, 256)
    carried = _high(low * above + _high(low * below, 8), 8)
    return _high(high * above + _high(high * below + carried, 8), 8), known


def _product(ids: tf.Tensor, factor: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The upper and the lower 16 bits of ids * factor modulo 2 ** 32."""
    parts = [ids * byte for byte in factor.to_bytes(4, "little")]
    low = parts[0] + _low(parts[1], 8) * 256
    high = _high(low, 16) + _high(parts[1], 8) + parts[2] + _low(parts[3], 8) * 256
    return _low(high, 16), _low(low, 16)


def _low(values: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.bitwise_and(values, 2**bits - 1)


def _high(values: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.right_shift(values, bits)
