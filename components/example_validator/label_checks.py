"""Checks of how labels and texts are written."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.example_validator import ExampleValidatorParams
from components.example_validator.anomaly import Anomaly, quote
from seqline.data import features, labels, scripts
from seqline.data.manifest import KEPT, Manifest

# Groups of similar labels that a line names.
NUM_GROUPS = 10
# If more of these tokens than this occur once, they are sentences, not words.
MAX_ONCE = 0.5


def domain_of(schema: Any) -> set[str]:
    """The labels that the schema knows, in their normal form; empty where it has no domain."""
    domains = {domain.name: domain.value for domain in schema.string_domain}
    return {
        labels.normal(label)
        for feature in schema.feature
        if feature.name == features.LABEL
        for label in domains.get(feature.domain, feature.string_domain.value)
    }


def check_similar(manifest: Manifest, statistics: Mapping[str, Any]) -> Iterator[Anomaly]:
    """Finds labels that differ only in how they are written: they may be meant as one class."""
    num_rows: Counter[str] = Counter()
    for figures in statistics["splits"].values():
        num_rows.update(figures["labels"])
    for record in manifest.rare_classes:
        if record.done != KEPT:
            num_rows.update({record.label: sum(record.num_rows.values())})

    groups = labels.similar(num_rows)
    if not groups:
        return

    named = "; ".join(_group(group, num_rows) for group in groups[:NUM_GROUPS])
    more = f"; and {len(groups) - NUM_GROUPS:,} more" if len(groups) > NUM_GROUPS else ""
    have = "1 group of labels differs"
    if len(groups) > 1:
        have = f"{len(groups):,} groups of labels differ"
    message = (
        f"{have} only in case, spaces, characters that look alike or a .0: {named}{more}. Write"
        " them alike in the source if they are one class, or set"
        ' example_validator.severities = {similar_labels = "ignore"} if they are not'
    )
    yield Anomaly(features.TRAIN, features.LABEL, "similar_labels", message)


def _group(group: Sequence[str], num_rows: Mapping[str, int]) -> str:
    """`'Bad' (3 rows), 'bad' (117 rows)`."""
    # Characters that look alike or are invisible are told apart by their codes.
    is_plain = all(label.isascii() for label in group)
    return ", ".join(
        f"{quote(label) if is_plain else ascii(label)}"
        f" ({num_rows[label]:,} row{'' if num_rows[label] == 1 else 's'})"
        for label in group
    )


def check_script(
    split: str, statistics: Mapping[str, Any], params: ExampleValidatorParams
) -> Iterator[Anomaly]:
    """Finds texts of scripts without spaces between words that will be cut at spaces."""
    figures = statistics["splits"][split]
    if (
        split != features.TRAIN
        or statistics["content"] != features.TEXT
        or params.tokens == "char"
        or not figures["chars"]
    ):
        return

    chars, tokens = figures["chars"], figures["tokens"]
    num_unspaced = sum(chars["unspaced_scripts"].values())
    share = num_unspaced / max(1, chars["num_letters"])
    once = tokens["num_unspaced_once"] / max(1, tokens["num_unspaced"])
    # Texts in which spaces were put between the words have tokens that occur again.
    if not num_unspaced or share < params.min_unspaced_share or once <= MAX_ONCE:
        return
    # By script, such texts are cut into characters.
    if params.tokens is None and share > scripts.MOST:
        return

    named = " and ".join(list(chars["unspaced_scripts"])[:3])
    message = (
        f"{share:.1%} of the letters are of a script without spaces between words ({named}), and"
        f" {once:.1%} of what stands between spaces there occurs once: a word token would be"
        ' a whole sentence. Set transform.tokens = "char"'
    )
    yield Anomaly(split, features.TEXT, "unspaced_script", message)
