"""A hash table of keys of 64 bits as plain tensors: two lookups find any key.

TensorFlow's binary search takes 2.5 to 5 times as long, its own hash tables are no variables. Each
bucket of about BUCKET_SIZE keys has a displacement, chosen such that no two keys share a slot
(Belazzougui, Botelho, Dietzfelbinger, "Hash, displace, and compress", 2009):

    hash = (key xor key >> 32) * FIRST         bucket = the upper half of hash, scaled to buckets
    slot = the upper half of (hash xor displacement[bucket] * STEP) * SECOND, scaled to slots
"""

from itertools import count

import numpy as np
import tensorflow as tf

# Odd numbers below 2 ** 63 with well mixed bits.
FIRST = 0x5851F42D4C957F2D
STEP = 0x1E3779B97F4A7C15
SECOND = 0x369DEA0F31A53F85
BUCKET_SIZE = 4
# Slots for each 100 keys. The fewer are free, the longer a table takes to make.
SLOTS = 105
LOW = 2**32 - 1


class KeyTable(tf.Module):
    """A set of keys, each with a slot of its own.

    Args:
        keys: distinct, uint64 [num].

    Attributes:
        slots_of_keys: the slot of each key, int64 [num]. Not in the SavedModel.
        num_slots: at least 1.
    """

    def __init__(self, keys: np.ndarray, name: str) -> None:
        super().__init__(name=name)
        self.num_slots = len(keys) * SLOTS // 100 + 1
        displacements, self.slots_of_keys = _place(keys, self.num_slots)

        # A free slot holds a key that belongs into another one, and so is never asked for here.
        slots = np.full(self.num_slots, keys[0] if len(keys) else 0, np.uint64)
        slots[self.slots_of_keys] = keys
        self.keys = tf.Variable(slots.view(np.int64), trainable=False, name=f"{name}_keys")
        self.displacements = tf.Variable(
            displacements.astype(np.int32), trainable=False, name=f"{name}_displacements"
        )

    def __call__(self, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Looks keys up.

        A table without keys may say that it has the key 0.

        Args:
            keys: int64 [num], the bits of the unsigned keys.

        Returns:
            (whether the table has each, bool [num]; the slots, int64 [num]).
        """
        mixed = tf.bitwise.bitwise_xor(keys, _upper(keys)) * FIRST
        bucket = _scaled(mixed, self.displacements.shape[0])
        displacement = tf.cast(tf.gather(self.displacements, bucket), tf.int64)
        slot = _scaled(tf.bitwise.bitwise_xor(mixed, displacement * STEP) * SECOND, self.num_slots)
        return tf.equal(tf.gather(self.keys, slot), keys), slot


def _upper(values: tf.Tensor) -> tf.Tensor:
    """The upper half of 64 bits."""
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(values, 32), LOW)


def _scaled(values: tf.Tensor, size: int) -> tf.Tensor:
    return tf.bitwise.right_shift(_upper(values) * size, 32)


def _place(keys: np.ndarray, num_slots: int) -> tuple[np.ndarray, np.ndarray]:
    """(The displacement of each bucket; the slot of each key.) Large buckets choose first."""
    shift = np.uint64(32)
    mixed = (keys ^ keys >> shift) * np.uint64(FIRST)
    displacements = np.zeros(len(keys) // BUCKET_SIZE + 1, np.int64)
    bucket = ((mixed >> shift) * np.uint64(len(displacements)) >> shift).astype(np.int64)

    order = np.argsort(bucket, kind="stable")
    sizes = np.bincount(bucket, minlength=len(displacements))
    starts = np.cumsum(sizes) - sizes
    slots = np.zeros(len(keys), np.int64)
    free = np.ones(num_slots, bool)

    for size in range(sizes.max(initial=0), 0, -1):
        waiting = np.flatnonzero(sizes == size)
        for displacement in count():
            if not len(waiting):
                break
            members = order[starts[waiting][:, None] + np.arange(size)]  # [waiting, size]
            step = np.uint64(displacement * STEP % 2**64)
            moved = (mixed[members] ^ step) * np.uint64(SECOND)
            wanted = ((moved >> shift) * np.uint64(num_slots) >> shift).astype(np.int64)

            served = _without_clash(wanted, free)
            displacements[waiting[served]] = displacement
            slots[members[served]] = wanted[served]
            free[wanted[served]] = False
            waiting = waiting[~served]
    return displacements, slots


def _without_clash(wanted: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Whether a row's slots are free, distinct, and not wanted by a row before; bool [rows]."""
    ordered = np.sort(wanted, axis=1)
    fits = free[wanted].all(axis=1) & (ordered[:, 1:] != ordered[:, :-1]).all(axis=1)

    rows = np.flatnonzero(fits)
    _, first = np.unique(wanted[rows], return_index=True)
    is_first = np.zeros(wanted[rows].size, bool)
    is_first[first] = True
    fits[rows] = is_first.reshape(len(rows), wanted.shape[1]).all(axis=1)
    return fits
