"""Raw text to token ids: vocabularies, the transform graph and the Features that the trainer reads.

Reads Examples: `Split-*/` TFRecords of tf.Example with `text` and `label` (bytes, one each).
Writes, in formats that tensorflow-transform opens (`tft.TFTransformOutput(<output>)`):
  transform_fn/          a SavedModel from raw text to ids, with the vocabularies as assets
  transformed_metadata/  the schema of the Features
  vocabularies/          tokens and labels, one a line, in rank order
  transform.json         max_length and what was counted
  Split-*/               Features: `ids` (1..V, OOV V + 1, at most max_length), `length` (of ids), `label` (class id)

Both passes are Beam jobs over file shards; TensorFlow's C++ reads the rows of a shard.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from components.base import Component, Figures, Params


class TransformParams(Params):
    tokens: Literal["word", "char"] = Field("word", description="what a token is: words and punctuation marks, or characters")
    lowercase: bool = Field(True, description="fold upper case to lower case")
    vocab_size: int = Field(20_000, ge=1, description="tokens in the vocabulary, at most; the most frequent ones of the train split")
    min_frequency: int = Field(2, ge=1, description="how often a token must occur in the train split to enter the vocabulary")
    max_length: int = Field(256, ge=1, description="tokens of a text that are used; the rest is cut off")


def run(*, examples: Path, params: TransformParams, output: Path, beam_args: Sequence[str] = ()) -> Figures:
    """Builds the vocabularies from the train split, then transforms every split.

    Raises DataError if no token reaches min_frequency.
    """
    from components.transform import graph, materialize, vocabulary

    vocabularies = vocabulary.build(examples, params, output / "vocabularies", beam_args)
    graph.write(vocabularies, params, output)
    rows = materialize.materialize(examples, params, output, beam_args)
    figures = {**vocabularies.figures, **rows}
    summary = {"max_length": params.max_length, **figures}
    (output / "transform.json").write_text(json.dumps(summary, indent=2) + "\n")
    return figures


def describe(figures: Figures) -> str:
    full = figures["num_at_max_length"] / max(1, sum(figures["num_rows"].values()))
    return (
        f"vocabulary of {figures['num_tokens']:,} tokens, {figures['num_classes']} classes; "
        f"{figures['oov_rate']:.1%} of train tokens outside it; {full:.0%} of rows reach max_length"
    )


TRANSFORM = Component(
    name="transform",
    inputs={"examples": "Examples"},
    output="Features",
    params=TransformParams,
    run=run,
    describe=describe,
    libraries=("tensorflow", "tensorflow-transform"),
    beam=True,
)
