"""Feature names, reserved ids and file patterns that the components agree on.

Imports nothing heavy.
"""

from pathlib import Path

from seqline.errors import DataError

TEXT = "text"
TOKENS = "tokens"
SEQUENCE = "sequence"
LABEL = "label"
WEIGHT = "weight"
IDS = "ids"
VALUES = "values"
LENGTH = "length"
# Further outputs of the transform graph, where n-grams are counted: the ids of a whole text, and
# its tokens outside the vocabulary. The shards do not hold them.
WORDS = "words"
UNKNOWN = "unknown"

TRAIN = "train"
EVAL = "eval"
TEST = "test"
SPLITS = (TRAIN, EVAL, TEST)

# Tokens have the ids 1..V in rank order; id V + 1 stands for every token outside the vocabulary.
PAD_ID = 0
NUM_RESERVED_IDS = 2

TOKENS_VOCABULARY = "tokens"
LABELS_VOCABULARY = "labels"

# Artifacts whose rows are in shards: no disk has to hold one as a whole.
IN_SHARDS = {"Examples", "Features"}

# The files by which one component finds another's work.
STATISTICS = "statistics.json"
FEATURE_STATS = "FeatureStats.pb"
SCHEMA = "schema.pbtxt"
SCHEMA_ORIGIN = "origin.json"
MODEL = "model.weights.h5"
SAVED_MODEL = "saved_model"
EVALUATION = "evaluation.json"
# The first rows of the test split as requests, with the evaluator's answers.
ANSWERS = "answers.jsonl"
INFRA_BLESSING = "blessing.json"


def shard_path(root: Path, split: str, shard: int, num_shards: int) -> Path:
    """`<root>/Split-<split>/data_tfrecord-00000-of-00003.gz`, as TFX names its Examples."""
    return root / f"Split-{split}" / f"data_tfrecord-{shard:05d}-of-{num_shards:05d}.gz"


def shards(root: Path, split: str) -> list[Path]:
    """The files of a split, in shard order.

    Raises:
        DataError: There is none.
    """
    paths = sorted((root / f"Split-{split}").glob("data_tfrecord-*.gz"))
    if not paths:
        splits = sorted(
            {path.parent.name.removeprefix("Split-") for path in root.glob("Split-*/*")}
        )
        raise DataError(
            f"No files for split {split!r} under {root}; found splits {splits}. Did example_gen"
            " run?"
        )
    return paths


def oov_id(num_tokens: int) -> int:
    """The id of a token outside a vocabulary of `num_tokens` tokens."""
    return num_tokens + 1
