"""From Examples to what a network reads: vocabularies, the transform graph and Features.

Reads Examples: text, tokens or number sequences with a label. Writes, in formats that
tensorflow-transform opens (`tft.TFTransformOutput(<output>)`):
  transform_fn/          a SavedModel from raw rows to Features, with the vocabularies as assets
  transformed_metadata/  the schema of the Features
  vocabularies/          tokens (not for sequences) and labels, one a line, in rank order
  transform.json         content, dim, the max_length that was used, whether there are n-grams, and
                         the figures
  Split-*/               the Features:
                           ids      1..V, OOV is V + 1; at most max_length
                           values   for sequences, instead of ids: standardised, flat [time, dim]
                           length   ids or time steps
                           label    class id
                           weight   float, where the Examples have weights. Weights shape nothing
                                    else: neither the vocabulary nor the standardisation
  ngrams.arrow, Ngrams-*/  the n-grams of whole texts (seqline.data.ngrams), unless `ngrams` is 0

The first pass (`analyze`) reads each span once: it tokenises and counts, and keeps both. The
vocabulary of any window is the sum of its spans' counts. The second pass only maps tokens to ids,
and only for shards in which the vocabulary changed an id.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from seqline.component import Component, Figures, NotInKey, Params
from seqline.data import features
from seqline.data.span_cache import SpanCache
from seqline.data.transform_summary import SUMMARY
from seqline.digests import digest
from seqline.errors import UserError
from seqline.storage.staging import remove

# Ids and time steps are numbers of 32 bits in many kernels of TensorFlow.
MOST = 2**31 - 1
# The most n-grams of each kind, unless `ngrams` says another number.
DEFAULT_NGRAMS = 1 << 18
# The greatest max_length that the data decide. A longer one costs more time than it gains accuracy.
MOST_FROM_DATA = 256


class TransformParams(Params):
    tokens: Literal["word", "char"] | None = Field(
        None,
        description=(
            "what a token of a text is: words and punctuation marks, or characters; null: by"
            " script, characters where most letters of the train split are of a script without"
            " spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan), words"
            " elsewhere"
        ),
    )
    lowercase: bool = Field(True, description="fold upper case to lower case (texts only)")
    vocab_size: int = Field(
        20_000,
        ge=1,
        le=MOST,
        description=(
            "the greatest number of tokens in the vocabulary: the most frequent ones of the"
            " train split"
        ),
    )
    min_frequency: int = Field(
        2,
        ge=1,
        description=("how often a token must occur in the train split to enter the vocabulary"),
    )
    reserved_tokens: list[str] = Field(
        [], description="tokens that get the first ids, whether they occur or not"
    )
    vocabulary: Annotated[str | None, NotInKey] = Field(
        None, description="a vocabulary file, one token per line, whose tokens keep their ids"
    )
    vocabulary_mode: Literal["frozen", "extend"] = Field(
        "frozen",
        description=(
            "with `vocabulary`: `frozen` keeps exactly its tokens, `extend` adds new ones"
            " after them, up to vocab_size"
        ),
    )
    max_length: int | None = Field(
        None,
        ge=1,
        le=MOST,
        description=(
            "how many tokens of a text (time steps of a sequence) are used; the rest is cut off;"
            " null: from the data, at most 256 (99 of 100 texts of the train split are read whole,"
            " rounded up to a multiple of 32; sequences: the longest one)"
        ),
    )
    standardize: bool = Field(
        True,
        description=(
            "sequences: give every number of a time step mean 0 and variance 1 over the train split"
        ),
    )
    ngrams: int | None = Field(
        None,
        ge=0,
        le=MOST,
        description=(
            "the most n-grams of each kind, sequences of tokens and characters of words, for the"
            " trainer's wide part; 0: none; null: 262,144, or 0 where trainer.wide is false"
        ),
    )

    def with_defaults_from(self, wide: bool) -> Self:
        """These params, with a number of n-grams.

        Args:
            wide: whether the trainer has a wide part.
        """
        if self.ngrams is not None:
            return self
        return self.model_copy(update={"ngrams": DEFAULT_NGRAMS if wide else 0})

    def most_ngrams(self, content: str) -> int:
        """The most n-grams of each kind; 0 for none."""
        if content == features.SEQUENCE:
            return 0
        return DEFAULT_NGRAMS if self.ngrams is None else self.ngrams


def check(params: TransformParams) -> None:
    """Raises UserError for a vocabulary file or reserved tokens that cannot work."""
    for token in params.reserved_tokens:
        if not token or "\n" in token:
            raise UserError(
                f"transform.reserved_tokens holds {token!r}: "
                "a token must not be empty or contain a line end."
            )

    if len(set(params.reserved_tokens)) < len(params.reserved_tokens):
        raise UserError(f"transform.reserved_tokens {params.reserved_tokens} names a token twice.")

    if params.vocabulary is None:
        return

    from components.transform import imported

    known = set(imported.read(params.vocabulary))
    missing = [token for token in params.reserved_tokens if token.encode() not in known]
    if missing and params.vocabulary_mode == "frozen":
        raise UserError(
            f"transform.reserved_tokens {missing} are not in the frozen vocabulary "
            f"{params.vocabulary!r}."
        )


def external_digest(params: TransformParams, memory: Path | None = None) -> str:
    """The digest of the imported vocabulary's tokens; "" without one."""
    if params.vocabulary is None:
        return ""

    from components.transform import imported

    return digest(b"\n".join(imported.read(params.vocabulary)).hex())


@contextmanager
def analyze(
    *,
    spans: Mapping[int, str],
    content: str,
    dim: int | None,
    params: TransformParams,
    span_cache: SpanCache,
) -> Iterator[Any]:
    """The first pass over the spans that were not analyzed yet, a PTransform over ExampleShards.

    It is None if every span was analyzed. The parts are kept if the block ends without an error.

    Args:
        spans: span -> the key of its Examples.
        content: what the Examples hold.
        dim: numbers of a time step; None for texts and tokens.
        params: of the transform.
        span_cache: where the parts are kept.
    """
    paths = {number: part_path(span_cache, key, content, params) for number, key in spans.items()}
    with span_cache.making(paths) as folders:
        if not folders:
            yield None
            return

        from components.transform import analysis
        from seqline.data.table_merge import SHARDS

        yield analysis.AnalyzeShards(folders, content, with_words(params))

        # As large as their sums, which are all that a window needs.
        for folder in folders.values():
            remove(folder / SHARDS)


def part_path(span_cache: SpanCache, span_key: str, content: str, params: TransformParams) -> Path:
    """The path of a span's part in the span cache, whether it exists or not.

    It follows only those params that shape the span's tokens, and whether n-grams are counted.
    """
    how: list[Any] = []
    if content == features.TEXT:
        how += [with_words(params).tokens, params.lowercase]
    if params.most_ngrams(content):
        how.append("ngrams")
    return span_cache.path(analysis=span_key, content=content, how=how)


def part_paths(
    span_cache: SpanCache, span_key: str, content: str, params: TransformParams
) -> list[Path]:
    """The paths of all parts of a span that an artifact may need: see `part_path`.

    By script, its words are counted before it is known whether characters are its tokens.
    """
    kinds = ("word", "char") if params.tokens is None and content == "text" else (params.tokens,)
    return [
        part_path(span_cache, span_key, content, params.model_copy(update={"tokens": tokens}))
        for tokens in kinds
    ]


def with_words(params: TransformParams) -> TransformParams:
    """The params with words as tokens where the script is to decide: it is seen in the words."""
    return params if params.tokens else params.model_copy(update={"tokens": "word"})


def run(
    *,
    examples: Path,
    params: TransformParams,
    output: Path,
    span_cache: SpanCache | None = None,
    previous: Path | None = None,
    beam_args: Sequence[str] = (),
) -> Figures:
    """Builds the vocabularies from the train split, then transforms every split.

    Raises:
        DataError: no token reaches min_frequency, or train has no token of the given vocabulary.
    """
    from components.transform import passes

    figures, summary = passes.transform(
        examples,
        params,
        output,
        span_cache or SpanCache(output / "span_cache"),
        previous,
        beam_args,
    )
    (output / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n")
    return figures


def describe(figures: Figures) -> str:
    if figures["content"] == "sequence":
        text = (
            f"sequences of {figures['dim']} numbers a time step, {figures['num_classes']} classes"
        )
    else:
        text = (
            f"{language_line(figures)}"
            f"vocabulary of {figures['num_tokens']:,} tokens, {figures['num_classes']} classes; "
            f"{figures['oov_rate']:.1%} of train tokens outside it"
        )

    # Features of an earlier version do not say it.
    if "num_cut" in figures:
        cut = figures["num_cut"] / max(1, sum(figures["num_rows"].values()))
        whence = " (from the data)" if figures["max_length_from_data"] else ""
        text += f"; max_length {figures['max_length']}{whence} cuts {cut:.1%} of rows"

    if drift := figures.get("vocabulary_drift"):
        text += (
            f"; {drift['num_new']:,} new tokens ({drift['new_token_rate']:.1%} of the text) and "
            f"{drift['num_gone']:,} gone since the last one"
        )
    return text


def language_line(figures: Figures) -> str:
    """That the script has decided for characters; "" elsewhere."""
    language = figures.get("language")
    return f"texts are {language}: tokens are characters (transform.tokens); " if language else ""


def from_data(
    params: TransformParams, inputs: Mapping[str, Params], figures: Figures | None
) -> dict[str, str]:
    """The settings that the data decide, for `seqline plan`.

    Args:
        params: the settings as they are given.
        inputs: the params of example_gen, as `examples`.
        figures: of the finished Features; None before the first run.

    Returns:
        Name of a setting -> its value, or what is known of it.
    """
    settings = {}
    if params.tokens is None and getattr(inputs["examples"], "content", "text") == "text":
        settings["tokens"] = "by script: words, or characters where words have no spaces"
        if figures:
            texts = figures.get("language") or "of a script with spaces"
            settings["tokens"] = f"{figures['tokens']}, as the texts are {texts}"

    if params.max_length is None:
        settings["max_length"] = f"from the data, at most {MOST_FROM_DATA}"
        if figures:
            settings["max_length"] = f"{figures['max_length']}, from the data"
    return settings


TRANSFORM = Component(
    name="transform",
    inputs={"examples": "Examples"},
    output="Features",
    params=TransformParams,
    run=run,
    describe=describe,
    from_data=from_data,
    libraries=("tensorflow", "tensorflow-transform"),
    analyze=analyze,
    span_parts=part_paths,
    check=check,
    external_digest=external_digest,
)
