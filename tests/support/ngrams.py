"""N-grams by the definition, slowly: an oracle for `seqline.data.ngrams` and those who use it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqline.data.features import shard_path
from seqline.data.ngrams import (
    END,
    FACTOR,
    START,
    TABLE,
    Rows,
    Table,
    folder_of,
    token_code,
    token_codes,
)
from seqline.model.wide import Wide

# Texts of words; the labels of three classes.
WORDS = [
    ["a", "good", "good", "film", "."],
    ["a", "bad", "film", "."],
    ["good", "banana", "film"],
    ["bad", "bananas", "a", "bad", "banana"],
    [],
]
LABELS = [0, 1, 0, 1, 2]


def key_of(codes: Sequence[int]) -> int:
    """The key of an n-gram."""
    key = 0
    for code in codes:
        key = (key * FACTOR + code) % 2**64
    return key


def sequences_of(text: Sequence[str], orders: Sequence[int], bounded: bool) -> Counter[int]:
    """The keys of a text's sequences of tokens, with their counts."""
    codes = [token_code(token.encode()) for token in text]
    codes = [START, *codes, END] if bounded else codes
    return Counter(
        key_of(codes[first : first + size])
        for size in orders
        for first in range(len(codes) - size + 1)
    )


def characters_in(word: str) -> Counter[int]:
    """The keys of a word's character n-grams, with their counts."""
    codes = [ord(character) for character in f" {word} "]
    return Counter(
        key_of(codes[first : first + size])
        for size in range(2, 6)
        for first in range(len(codes) - size + 1)
    )


def table_of(
    texts: Sequence[Sequence[str]],
    vocabulary: Sequence[str],
    orders: Sequence[int] = (2,),
    bounded: bool = False,
    with_characters: bool = True,
    min_texts: int = 2,
) -> Table:
    """The table of the texts of a train split, with every n-gram of at least min_texts texts."""
    tokens = Counter(token for text in texts for token in set(text))
    sequences = Counter(key for text in texts for key in sequences_of(text, orders, bounded))
    characters: Counter[int] = Counter()
    for text in texts if with_characters else []:
        characters.update({key for word in set(text) for key in characters_in(word)})

    def kept(counts: Counter[int]) -> list[tuple[int, int]]:
        return sorted((key, count) for key, count in counts.items() if count >= min_texts)

    def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
        return (
            np.array([key for key, _ in pairs], np.uint64),
            np.array([count for _, count in pairs], np.int64),
        )

    return Table(
        np.array([len(texts)]),
        np.array(orders, np.int64),
        np.array([bounded]),
        np.array([tokens[token] for token in vocabulary], np.int64),
        *columns(kept(sequences)),
        *columns(kept(characters)),
    )


def rows_of(
    texts: Sequence[Sequence[str]],
    labels: Sequence[int],
    vocabulary: Sequence[str],
    table: Table,
) -> Rows:
    """The n-grams of texts. Distinct words are in the order in which they first occur."""
    words = list(dict.fromkeys(token for text in texts for token in text))
    ids = {token: number for number, token in enumerate(vocabulary, start=1)}
    known = {key_of([token_code(token.encode())]) for token in vocabulary} | {START, END}
    places = [
        {key: place for place, key in enumerate(keys.tolist())}
        for keys in (table.sequence_keys, table.character_keys)
    ]
    columns: dict[str, list[int]] = {
        name: []
        for name in (
            *("words", "word_counts", "word_lengths"),
            *("sequences", "sequence_counts", "sequence_lengths"),
            *("characters", "character_counts", "character_lengths"),
        )
    }

    def add(name: str, counts: dict[int, int]) -> None:
        for place in sorted(counts):
            columns[name].append(place)
            columns[f"{name.removesuffix('s')}_counts"].append(counts[place])
        columns[f"{name.removesuffix('s')}_lengths"].append(len(counts))

    for text in texts:
        add("words", {words.index(word): count for word, count in Counter(text).items()})
        counts: Counter[int] = Counter()
        for part in _known_parts(text, set(ids), bool(table.bounded[0])):
            codes = [code for code in part if code in known]
            for size in table.orders.tolist():
                for first in range(len(codes) - size + 1):
                    key = key_of(codes[first : first + size])
                    if key in places[0]:
                        counts[places[0][key]] += 1
        add("sequences", dict(counts))

    for word in words:
        found = characters_in(word) if len(table.characters) else Counter()
        add("characters", {places[1][key]: n for key, n in found.items() if key in places[1]})

    return Rows(
        **{name: np.array(values, np.uint32) for name, values in columns.items()},
        ids=np.array([ids.get(word, len(ids) + 1) for word in words], np.uint32),
        labels=np.array(labels, np.int64),
        weights=np.zeros(0, np.float32),
    )


def _known_parts(text: Sequence[str], known: set[str], bounded: bool) -> list[list[int]]:
    """The codes of a text, cut at every token outside the vocabulary."""
    parts: list[list[int]] = [[START] if bounded else []]
    for token in text:
        if token in known:
            parts[-1].append(token_code(token.encode()))
        else:
            parts.append([])
    if bounded:
        parts[-1].append(END)
    return parts


def features_of(text: Sequence[str], vocabulary: Sequence[str], table: Table) -> dict[int, float]:
    """The features of a text by the formula, place in the table -> value."""
    rows = rows_of([text], [0], vocabulary, table)
    idf = table.idf().tolist()
    num_tokens, num_sequences = len(table.tokens), len(table.sequences)
    values: dict[int, float] = {}
    squared = 0.0

    first = 0
    of_words = []
    for length in rows.character_lengths.tolist():
        of_words.append(
            list(zip(rows.characters[first:], rows.character_counts[first:], strict=True))[:length]
        )
        first += length

    for word, count in zip(rows.words.tolist(), rows.word_counts.tolist(), strict=True):
        token = int(rows.ids[word]) - 1
        if token < num_tokens:
            values[token] = count**0.5 * idf[token]
            squared += count * idf[token] ** 2
        for place, n in of_words[word]:
            feature = num_tokens + num_sequences + int(place)
            values[feature] = values.get(feature, 0.0) + 0.3 * count**0.5 * int(n) * idf[feature]
            squared += count * 0.09 * (int(n) * idf[feature]) ** 2

    for place, count in zip(rows.sequences.tolist(), rows.sequence_counts.tolist(), strict=True):
        feature = num_tokens + place
        values[feature] = count**0.5 * idf[feature]
        squared += count * idf[feature] ** 2
    return {feature: value / squared**0.5 for feature, value in values.items()}


def wide_of(
    table: Table,
    vocabulary: Sequence[str],
    num_classes: int = 3,
    keep: float = 0.8,
    pool: Sequence[float] = (0.8, 0.6),
) -> Wide:
    """A wide part of random weights over a share of a table's features."""
    random = np.random.default_rng(0)
    kept = np.flatnonzero(random.random(table.num_features) < keep)
    num_tokens, num_sequences = len(table.tokens), len(table.sequences)
    of_sequences = kept[(kept >= num_tokens) & (kept < num_tokens + num_sequences)] - num_tokens
    of_characters = kept[kept >= num_tokens + num_sequences] - num_tokens - num_sequences
    num_scores = num_classes if num_classes > 2 else 1
    return Wide(
        sizes=np.array([num_tokens, num_sequences, len(table.characters)]),
        orders=table.orders,
        bounded=table.bounded,
        codes=token_codes([token.encode() for token in vocabulary]),
        features=kept,
        sequence_keys=table.sequence_keys[of_sequences],
        character_keys=table.character_keys[of_characters],
        idf=table.idf()[kept],
        weights=random.normal(scale=3, size=len(kept) * num_scores).astype(np.float32),
        prior=random.normal(size=num_scores).astype(np.float32),
        pool=np.array(pool),
    )


def write_ngrams(
    root: Path, split: str, shards: Sequence[tuple[Sequence[Sequence[str]], Sequence[int]]]
) -> None:
    """Writes the n-grams of a split of Features: by shard, (texts, labels).

    The first split decides the vocabulary, all its tokens in order, and the table.
    """
    path = root / TABLE
    if not path.exists():
        texts = [text for shard, _ in shards for text in shard]
        vocabulary = sorted({token for text in texts for token in text})
        (root / "vocabularies").mkdir(parents=True)
        (root / "vocabularies" / "tokens").write_text("".join(f"{word}\n" for word in vocabulary))
        table_of(texts, vocabulary).write(path)

    vocabulary = (root / "vocabularies" / "tokens").read_text().split()
    table = Table.read(path)
    (root / f"Split-{split}").mkdir()
    folder_of(root, split).mkdir()
    for number, (texts, labels) in enumerate(shards):
        shard = shard_path(root, split, number, len(shards))
        shard.touch()
        rows = rows_of(texts, labels, vocabulary, table)
        rows.write(folder_of(root, split) / f"{shard.name}.arrow")
