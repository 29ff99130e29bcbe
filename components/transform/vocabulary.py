"""The vocabularies of a window: the most frequent tokens of its train split, and its labels."""

import heapq
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from components.transform import TransformParams, imported
from seqline.component import Figures
from seqline.data import features, scripts
from seqline.data.counts import Counts
from seqline.errors import DataError
from seqline.rows.tokens import NeverOccurring

# Tokens of each bucket that are looked at where none is frequent enough.
NUM_SAMPLED = 5


def rank(buckets: Iterable[Counts], params: TransformParams) -> tuple[list[bytes], Figures, Counts]:
    """Ranks the tokens of a train split.

    First come the tokens of an imported vocabulary and the reserved ones, then the most frequent
    others up to vocab_size. Equal counts are in descending order of their bytes, as tft.vocabulary
    orders them.

    Args:
        buckets: the counts of the tokens. One bucket is in memory at a time.
        params: of the transform.

    Returns:
        The tokens in rank order, figures, and the counts of those tokens of the vocabulary that
        occur.

    Raises:
        DataError: the vocabulary would be empty, or none of its tokens occurs.
    """
    fixed = fixed_tokens(params)
    given = set(fixed)
    can_grow = params.vocabulary is None or params.vocabulary_mode == "extend"
    room = max(0, params.vocab_size - len(fixed)) if can_grow else 0

    best: list[tuple[int, bytes]] = []
    least = params.min_frequency  # what a token needs to be among the best
    known: Counts = {}
    num_distinct = 0
    num_occurrences = 0
    sample: list[str] = []  # of the tokens, for a message

    for counts in buckets:
        num_distinct += len(counts)
        sample += [token.decode(errors="replace") for token in islice(counts, NUM_SAMPLED)]
        num_occurrences += sum(counts.values())
        known.update({token: counts[token] for token in given & counts.keys()})
        best += [
            (count, token)
            for token, count in counts.items()
            if count >= least and token not in given
        ]
        if len(best) > 2 * room:  # not after each bucket: that would take the time of all of room
            best = heapq.nlargest(room, best)
            least = max(least, best[-1][0]) if best else least

    best = heapq.nlargest(room, best)
    tokens = fixed + [token for _, token in best]
    if not tokens:
        raise DataError(
            f"No token of the train split occurs {params.min_frequency} times or more: "
            f"the vocabulary would be empty. {_way_out(sample, params)}"
        )

    known.update({token: count for count, token in best})
    if num_occurrences and not known:
        raise DataError(
            f"None of the {len(tokens)} tokens of the vocabulary occurs in the train split: "
            "everything would be out of vocabulary. "
            f"Is transform.vocabulary {params.vocabulary!r} in the form that transform.tokens "
            f"{params.tokens!r} and transform.lowercase {params.lowercase} give?"
        )

    oov_rate = 1 - sum(known.values()) / num_occurrences if num_occurrences else 0.0
    figures = {
        "num_tokens": len(tokens),
        "num_distinct_tokens": num_distinct,
        "oov_rate": oov_rate,
    }
    return tokens, figures, known


def fixed_tokens(params: TransformParams) -> list[bytes]:
    """The tokens that come first, whatever was counted.

    They are the tokens of an imported vocabulary, then the reserved tokens that it lacks.
    """
    given = imported.read(params.vocabulary) if params.vocabulary else []
    reserved = [token.encode() for token in params.reserved_tokens]
    known = set(given)
    return given + [token for token in reserved if token not in known]


def never_occurring(params: TransformParams, content: str) -> str:
    """A sentence on the tokens of an imported vocabulary that can never occur; "" for none.

    Reserved tokens are left out: they are wanted whether they occur or not.
    """
    if not params.vocabulary:
        return ""

    tokens = params.tokens if content == features.TEXT else None
    never = NeverOccurring(tokens, params.lowercase)
    reserved = {token.encode() for token in params.reserved_tokens}
    given = imported.read(params.vocabulary)
    for line, token in enumerate(given, start=1):
        if token not in reserved:
            never.look(token, line)

    if not never.total():
        return ""
    return f"{imported.SETTING} {params.vocabulary}: {never.sentence(len(given))}."


def drift(tokens: list[bytes], counts: Counts, previous: Path | None) -> Figures | None:
    """How the vocabulary differs from that of an earlier artifact.

    Args:
        tokens: in rank order.
        counts: of those tokens that occur in the train split.
        previous: the earlier artifact; None without one.

    Returns:
        num_new, num_gone; num_moved, the tokens of both vocabularies with another id;
        new_token_rate, the share of new ones among all occurrences of the vocabulary's tokens.
        None without an earlier vocabulary.
    """
    path = previous / "vocabularies" / features.TOKENS_VOCABULARY if previous else None
    if path is None or not path.exists():
        return None

    before = {token: number for number, token in enumerate(path.read_bytes().split(b"\n")[:-1])}
    new = [token for token in tokens if token not in before]
    num_moved = sum(before.get(token, number) != number for number, token in enumerate(tokens))
    num_occurrences = sum(counts.get(token, 0) for token in new)
    return {
        "num_new": len(new),
        "num_gone": len(before) - (len(tokens) - len(new)),
        "num_moved": num_moved,
        "new_token_rate": num_occurrences / max(1, sum(counts.values())),
    }


def _way_out(sample: list[str], params: TransformParams) -> str:
    """What helps where no token is frequent enough."""
    if params.tokens == "word" and scripts.unspaced_share(sample) >= 0.5:
        return (
            "The texts are of a script without spaces between words"
            f' ({scripts.main_script(sample)}): set transform.tokens = "char".'
        )
    return "Lower transform.min_frequency, or look at the texts."


def write(path: Path, entries: list[bytes]) -> None:
    """Writes a vocabulary, one entry a line."""
    path.write_bytes(b"".join(entry + b"\n" for entry in entries))
