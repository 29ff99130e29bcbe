"""The tokens of texts by their script: characters where words have no spaces between them.

The part of a span in the span cache that holds its words also holds letters/<shard>.json for each
shard of train. A window's letters are the sum of its spans'. So every run of a window decides
alike, however many of its spans were read before.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.transform import TransformParams
from seqline.data import scripts
from seqline.storage import records
from seqline.storage.records import Count
from seqline.storage.staging import local_copy, writing

# The folder of a part that holds them.
FOLDER = "letters"
# Most tokens have none of them, which are found faster than all letters.
NO_LETTER = r"[^\p{L}\p{M}]"
# Texts in which spaces were put between such words have one between two words, and words are short
# (Burmese and Khmer ones have about seven letters and marks). Others have one between sentences, if
# any: in Thai a clause has about thirty.
MAX_WORD = 12
# Scripts as RE2 knows them.
SCRIPTS = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
KANA = ("Hiragana", "Katakana")
NAMES = {"Han": "Chinese", "Myanmar": "Burmese"}


@dataclass
class Letters:
    """The letters of the rows of a train split.

    Attributes:
        num: Letters and marks.
        num_unspaced: Those of scripts without spaces between words.
        num_spaces: Spaces between two words of such scripts.
        scripts: Letters of each of SCRIPTS.
    """

    num: Count = 0
    num_unspaced: Count = 0
    num_spaces: Count = 0
    scripts: dict[str, Count] = field(default_factory=dict)

    def add(self, other: "Letters") -> None:
        self.num += other.num
        self.num_unspaced += other.num_unspaced
        self.num_spaces += other.num_spaces
        self.scripts = dict(Counter(self.scripts) + Counter(other.scripts))

    def tokens(self) -> str:
        """`char` or `word`."""
        is_unspaced = self.num_unspaced > scripts.MOST * self.num
        has_spaces = MAX_WORD * self.num_spaces > self.num_unspaced
        return "char" if is_unspaced and not has_spaces else "word"

    def language(self) -> str:
        """The language of most letters of scripts without spaces, as far as its script tells it."""
        num = dict(self.scripts)
        num_kana = sum(num.pop(script, 0) for script in KANA)
        # Japanese texts have Chinese characters, too. A tenth of their letters, at least, are kana.
        if 9 * num_kana > num.get("Han", 0):
            num["Japanese"] = num.pop("Han", 0) + num_kana

        script = max(sorted(num), key=lambda script: num[script], default="")
        return NAMES.get(script, script)


def count(tokens: list[bytes], indices: np.ndarray, lengths: np.ndarray) -> Letters:
    """Counts the letters of a shard whose tokens are words.

    Args:
        tokens: the distinct tokens [num_distinct].
        indices: into tokens, row after row [sum(lengths)].
        lengths: tokens of each row [n].
    """
    words = pa.array(tokens, pa.binary()).view(pa.string())
    num = np.bincount(indices, minlength=len(tokens))  # occurrences [num_distinct]

    def matches(pattern: str) -> np.ndarray:
        """How often a pattern occurs in each token [num_distinct]."""
        return pc.count_substring_regex(words, pattern).to_numpy().astype(np.int64)

    unspaced = matches(f"[{scripts.UNSPACED}]")
    num_letters = pc.utf8_length(words).to_numpy() - matches(NO_LETTER)
    letters = Letters(int(num_letters @ num), int(unspaced @ num))
    if not letters.num_unspaced:
        return letters

    # A word ends at a space or at a punctuation mark, which is a token. So there is a space between
    # two words that follow one another in a row.
    is_unspaced = (unspaced > 0)[indices]  # [sum(lengths)]
    row = np.repeat(np.arange(len(lengths)), lengths)
    follows = row[1:] == row[:-1]
    letters.num_spaces = int((is_unspaced[1:] & is_unspaced[:-1] & follows).sum())
    by_script = {script: int(matches(rf"\p{{{script}}}") @ num) for script in SCRIPTS}
    letters.scripts = {script: num for script, num in by_script.items() if num}
    return letters


def write(part: str, shard: str, letters: Letters) -> None:
    """Writes the file of a shard of train.

    Args:
        part: the folder of the span's part.
        shard: the shard's name.
        letters: those of its rows.
    """
    with writing(f"{part}/{FOLDER}/{shard}.json") as name:
        records.write_object(asdict(letters), Path(name))


def of_window(parts: Iterable[Path]) -> Letters:
    """The letters of a window's train split.

    Args:
        parts: the parts of its spans that hold words.
    """
    total = Letters()
    for part in parts:
        way_out = f"Remove {part}; the next run counts its span again."
        for path in sorted(local_copy(part / FOLDER).glob("*.json")):
            total.add(records.read(Letters, path, way_out))
    return total


def resolve(params: TransformParams, parts: Iterable[Path]) -> tuple[TransformParams, str]:
    """The params with the tokens that fit a window, and its language if these are characters.

    Args:
        params: without tokens.
        parts: the parts of the window's spans that hold words.
    """
    letters = of_window(parts)
    tokens = letters.tokens()
    resolved = params.model_copy(update={"tokens": tokens})
    return resolved, letters.language() if tokens == "char" else ""
