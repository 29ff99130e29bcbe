"""N-grams of token texts: their keys, the table of those that a model may use, and the rows.

Three kinds of features, in this order:

    tokens      the tokens of the vocabulary
    sequences   n-grams of 2 and more tokens in a row, all of the vocabulary; where tokens are
                characters, the start and the end of a text are tokens here, too
    characters  n-grams of 2 to 5 characters inside each word, a space before and after it counted
                in; none where tokens are characters or come as lists

The features of a text: with c the count of a token or sequence in the whole text, n_g that of a
character n-gram g in a word, and idf = log((1 + texts) / (1 + texts with it)) + 1,

    token w          sqrt(c_w) idf_w / N
    sequence s       sqrt(c_s) idf_s / N
    characters g     0.3 sum over the distinct words w of sqrt(c_w) n_g idf_g / N

    N^2 = sum over w of c_w q_w + sum over s of c_s idf_s^2
    q_w = idf_w^2 (0 for a word outside the vocabulary) + 0.09 sum over g in w of (n_g idf_g)^2

All of it is a sum over words: a known word's scores are one row, folded when a model is exported,
and a text costs one row a word. Its features are those of tf-idf, with sqrt(c) for 1 + log c.

Files in Features: ngrams.arrow, the `Table`; Ngrams-<split>/<shard>.arrow, the `Rows` of each
shard, where <shard> is the name of its Features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqline.errors import DataError
from seqline.storage.records import MADE_AGAIN
from seqline.storage.staging import reading, writing

TABLE = "ngrams.arrow"

# An odd number of 64 bits (the multiplier of Knuth's MMIX generator): keys are polynomials of it.
FACTOR = 6364136223846793005
# The codes of the start and the end of a text whose tokens are characters.
START, END = 0x5EED_0000_0000_0001, 0x5EED_0000_0000_0003
# The weight of a word's characters beside the word.
CHARACTERS = 0.3
# Characters of a character n-gram.
SIZES = range(2, 6)


def folder_of(source: Path, split: str) -> Path:
    """The folder of a split's n-grams in Features."""
    return source / f"Ngrams-{split}"


def token_code(token: bytes) -> int:
    """A token's code, an unsigned number of 64 bits that is not 0."""
    return int.from_bytes(blake2b(token, digest_size=8).digest(), "little") | 1


def token_codes(tokens: Sequence[bytes]) -> np.ndarray:
    """The codes of tokens, uint64 [num_tokens]."""
    return np.array([token_code(token) for token in tokens], np.uint64)


def keys(codes: np.ndarray, groups: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The keys of the n-grams of one size.

    The key of codes c_1 ... c_n is c_1 FACTOR^(n-1) + ... + c_n modulo 2^64.

    Args:
        codes: of tokens or characters, one group after the other, uint64 [num].
        groups: the number of the group (a text, a word) of each, ascending, [num].
        size: codes of an n-gram.

    Returns:
        (keys, uint64 [num_ngrams]; the place of each one's first code, int64 [num_ngrams]). No
        n-gram reaches over the end of a group.
    """
    num = max(0, len(codes) - size + 1)
    key = codes[:num].astype(np.uint64)
    for place in range(1, size):
        key = key * np.uint64(FACTOR) + codes[place : place + num]
    whole = np.flatnonzero(groups[:num] == groups[size - 1 : size - 1 + num])
    return key[whole], whole


def characters_of(words: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The keys of the character n-grams of words of valid UTF-8.

    Returns:
        (the number of the word of each, int64, ascending; keys, uint64). An n-gram that a word has
        twice is there twice.
    """
    texts = [f" {word.decode()} " for word in words]
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.uint64)
    groups = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    found = [keys(codes, groups, size) for size in SIZES]
    word = np.concatenate([groups[place] for _, place in found])
    key = np.concatenate([key for key, _ in found])
    order = np.argsort(word, kind="stable")
    return word[order], key[order]


def find(table: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The places of keys in an ascending table, int64; -1 for a key that it does not have."""
    if not len(table):
        return np.full(len(wanted), -1, np.int64)
    place = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
    return np.where(table[place] == wanted, place, -1)


@dataclass(frozen=True)
class Table:
    """The n-grams that a model may use, and in how many texts of the train split each is.

    Attributes:
        num_texts: Texts of the train split, int64 [1].
        orders: The sizes of sequences of tokens, int64 [num_orders]: 2, or 2, 3, 4.
        bounded: Whether the start and the end of a text are in its sequences, bool [1].
        tokens: Texts with the token of id 1, 2, ..., V; int64 [V].
        sequence_keys, sequences: Ascending keys, uint64 [P]; texts with each, int64 [P].
        character_keys, characters: Ascending keys, uint64 [G]; texts with each, int64 [G].
    """

    num_texts: np.ndarray
    orders: np.ndarray
    bounded: np.ndarray
    tokens: np.ndarray
    sequence_keys: np.ndarray
    sequences: np.ndarray
    character_keys: np.ndarray
    characters: np.ndarray

    @property
    def num_features(self) -> int:
        return len(self.tokens) + len(self.sequences) + len(self.characters)

    def idf(self) -> np.ndarray:
        """float64 [num_features]."""
        texts = np.concatenate([self.tokens, self.sequences, self.characters])
        return np.log((1 + self.num_texts) / (1 + texts)) + 1

    def write(self, path: Path) -> None:
        write_arrays(self, path)

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Raises DataError if the file is damaged."""
        return cls(**read_arrays(path, [field.name for field in fields(cls)]))


@dataclass(frozen=True)
class Rows:
    """The n-grams of n texts that have W distinct words.

    Attributes:
        words: Places of the distinct words of each text, one text after the other; uint32 [sum].
        word_counts: How often the text has the word, uint32 [sum].
        word_lengths: Distinct words of each text, uint32 [n].
        sequences: Places in the table of the distinct sequences of each text, uint32 [sum].
        sequence_counts: How often the text has it, uint32 [sum].
        sequence_lengths: Distinct sequences of each text, uint32 [n].
        ids: The ids of the distinct words, V + 1 for one outside the vocabulary; uint32 [W].
        characters: Places in the table of the distinct character n-grams of each word, [sum].
        character_counts: How often the word has it, uint32 [sum].
        character_lengths: Distinct character n-grams of each word, uint32 [W].
        labels: Class ids, int64 [n].
        weights: float32 [n]; empty where rows have no weights.
    """

    words: np.ndarray
    word_counts: np.ndarray
    word_lengths: np.ndarray
    sequences: np.ndarray
    sequence_counts: np.ndarray
    sequence_lengths: np.ndarray
    ids: np.ndarray
    characters: np.ndarray
    character_counts: np.ndarray
    character_lengths: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def write(self, path: Path) -> None:
        write_arrays(self, path)

    @classmethod
    def read(cls, path: Path) -> "Rows":
        """Raises DataError if the file is damaged."""
        return cls(**read_arrays(path, [field.name for field in fields(cls)]))


def write_arrays(content: Any, path: Path) -> None:
    """Writes the arrays of a dataclass as an Arrow file of one record, whose fields are lists."""
    arrays = {field.name: pa.array(getattr(content, field.name)) for field in fields(content)}
    lists = [pa.ListArray.from_arrays([0, len(array)], array) for array in arrays.values()]
    batch = pa.record_batch(lists, list(arrays))
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        writing(path) as name,
        pa.OSFile(name, "wb") as file,
        pa.ipc.new_file(file, batch.schema, options=options) as writer,
    ):
        writer.write_batch(batch)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays that `write_arrays` wrote."""
    try:
        with reading(path) as name, pa.OSFile(name, "rb") as file:
            batch = pa.ipc.open_file(file).get_batch(0)
            return {name: batch[name].values.to_numpy(zero_copy_only=False) for name in names}
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise DataError(f"{path} cannot be read: {reason}. {MADE_AGAIN}") from None
