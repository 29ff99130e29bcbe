"""The vocabularies of a window: the most frequent tokens of its train split, and its labels."""

import heapq
from collections.abc import Iterable
from pathlib import Path

from components.transform import TransformParams
from seqline.component import Figures
from seqline.data import features
from seqline.data.counts import Counts
from seqline.errors import DataError


def rank(buckets: Iterable[Counts], params: TransformParams) -> tuple[list[bytes], Figures, Counts]:
    """(the tokens in rank order, figures, the counts of those that are in it).

    First the tokens of an imported vocabulary and the reserved ones, then the most frequent others
    up to vocab_size; equal counts in descending order of their bytes, as tft.vocabulary orders
    them. One bucket is in memory at a time.

    Raises DataError if the vocabulary would be empty.
    """
    fixed = fixed_tokens(params)
    given = set(fixed)
    grows = params.vocabulary is None or params.vocabulary_mode == "extend"
    room = max(0, params.vocab_size - len(fixed)) if grows else 0
    best: list[tuple[int, bytes]] = []
    found: Counts = {}
    num_distinct = num_occurrences = 0
    for counts in buckets:
        num_distinct += len(counts)
        num_occurrences += sum(counts.values())
        found.update({token: counts[token] for token in given & counts.keys()})
        others = (
            (count, token)
            for token, count in counts.items()
            if count >= params.min_frequency and token not in given
        )
        best = heapq.nlargest(room, [*best, *others])
    tokens = fixed + [token for _, token in best]
    if not tokens:
        raise DataError(
            f"No token of the train split occurs {params.min_frequency} times or more: the"
            " vocabulary would be empty. Lower transform.min_frequency, or look at the texts."
        )
    found.update({token: count for count, token in best})
    if num_occurrences and not found:
        raise DataError(
            f"None of the {len(tokens)} tokens of the vocabulary occurs in the train split:"
            f" everything would be out of vocabulary. Is transform.vocabulary {params.vocabulary!r}"
            f" in the form that transform.tokens {params.tokens!r} and transform.lowercase"
            f" {params.lowercase} give?"
        )
    figures = {
        "num_tokens": len(tokens),
        "num_distinct_tokens": num_distinct,
        "oov_rate": 1 - sum(found.values()) / num_occurrences if num_occurrences else 0.0,
    }
    return tokens, figures, found


def fixed_tokens(params: TransformParams) -> list[bytes]:
    """The tokens that come first whatever was counted.

    An imported vocabulary, then the reserved tokens that it lacks.
    """
    imported = (
        Path(params.vocabulary).read_bytes().rstrip(b"\n").split(b"\n") if params.vocabulary else []
    )
    known = set(imported)
    return imported + [
        token.encode() for token in params.reserved_tokens if token.encode() not in known
    ]


def drift(tokens: list[bytes], counts: Counts, previous: Path | None) -> Figures | None:
    """How the vocabulary differs from that of an earlier artifact; None without one.

    new_token_rate: the share of the train split's known tokens that the earlier vocabulary did not
    have. num_moved: tokens of both with another id.
    """
    path = previous / "vocabularies" / features.TOKENS_VOCABULARY if previous else None
    if path is None or not path.exists():
        return None
    before = {token: number for number, token in enumerate(path.read_bytes().split(b"\n")[:-1])}
    new = [token for token in tokens if token not in before]
    return {
        "num_new": len(new),
        "num_gone": len(before) - (len(tokens) - len(new)),
        "num_moved": sum(
            before.get(token, number) != number for number, token in enumerate(tokens)
        ),
        "new_token_rate": sum(counts.get(token, 0) for token in new) / max(1, sum(counts.values())),
    }


def write(path: Path, entries: list[bytes]) -> None:
    """One entry a line."""
    path.write_bytes(b"".join(entry + b"\n" for entry in entries))
