"""What no schema holds.

Too few rows or classes, rows that repeat, rows that contradict each other, rows that were lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.example_validator import ExampleValidatorParams
from components.example_validator.anomaly import Anomaly, example, quote, share
from seqline.data import features
from seqline.data.examples import KEPT, LEFT_OUT, Manifest, RareClass

# A class is missed by chance in one split of a thousand where seven of its rows are expected
# (e^-7).
EXPECTED_ROWS = 7
# Classes that a line names; the figures of example_gen have all of them.
NUM_NAMED = 20


def check_sizes(
    statistics: Mapping[str, Any], schema: Any, params: ExampleValidatorParams
) -> Iterator[Anomaly]:
    """Splits that are empty or small, a newest span without rows, spans with many bad rows."""
    for split in params.splits:
        num_rows = statistics["splits"][split]["num_rows"]
        wanted = max(params.min_rows, schema.dataset_constraints.min_examples_count)
        if not num_rows:
            what = (
                "it has no rows. Add some to the source, raise example_gen's fraction for it, or"
                f" take {split!r} out of example_validator.splits"
            )
            yield Anomaly(split, "", "empty_split", what, "DATASET_LOW_NUM_EXAMPLES")
        elif num_rows < wanted:
            what = (
                f"{num_rows:,} rows where {wanted:,} are wanted. Add rows, or lower"
                " example_validator.min_rows"
            )
            yield Anomaly(split, "", "few_rows", what, "DATASET_LOW_NUM_EXAMPLES")
    for number, span in statistics["spans"].items():
        if not any(figures["num_rows"] for figures in span["splits"].values()):
            what = (
                f"span {number} has no rows in any split. Deliver it again, or take it out of the"
                " window"
            )
            yield Anomaly(features.TRAIN, "", "empty_split", what, "NO_DATA_IN_SPAN")
        num_bad = sum(span["num_bad"].values())
        if num_bad > params.max_bad_fraction * span["num_read"]:
            problems = ", ".join(
                f"{problem} ({count:,})"
                for problem, count in sorted(span["num_bad"].items(), key=lambda entry: -entry[1])[
                    :3
                ]
            )
            what = (
                f"{share(num_bad, span['num_read'])} of span {number} could not be used, more than"
                f" example_validator.max_bad_fraction {params.max_bad_fraction:.1%}: {problems}."
                " See bad_rows in the Examples"
            )
            yield Anomaly(features.TRAIN, "", "bad_rows", what)


def check_classes(
    split: str, statistics: Mapping[str, Any], schema: Any, params: ExampleValidatorParams
) -> Iterator[Anomaly]:
    """A train split with one class or tiny ones, and classes that a split lacks."""
    train, figures = statistics["splits"][features.TRAIN], statistics["splits"][split]
    labels = figures["labels"]
    if split != features.TRAIN:
        num_train = max(1, sum(train["labels"].values()))
        shares = {
            label: figures["num_rows"] * count / num_train
            for label, count in train["labels"].items()
            if label not in labels
        }
        missing = {
            label: expected for label, expected in shares.items() if expected >= EXPECTED_ROWS
        }
        if missing:
            named = ", ".join(
                f"{quote(label)} ({expected:.0f})"
                for label, expected in list(missing.items())[:NUM_NAMED]
            )
            more = f", and {len(missing) - NUM_NAMED:,} more" if len(missing) > NUM_NAMED else ""
            what = (
                f"no row of {len(missing)} of {len(train['labels'])} classes, where train's shares"
                f" let expect so many of {figures['num_rows']:,}: {named}{more}. Is the source"
                f" sorted by class, or {split} cut from another place? Take it from the same rows"
                " as train"
            )
            yield Anomaly(split, features.LABEL, "missing_class", what)
        return
    if len(labels) == 1:
        label = next(iter(labels))
        examples = (figures["label_examples"][label],)
        what = (
            f"all {figures['num_rows']:,} rows have the label {quote(label)}{example(examples)}. A"
            " classifier needs two classes: is example_gen.label the right column?"
        )
        yield Anomaly(split, features.LABEL, "one_class", what, "FEATURE_TYPE_LOW_UNIQUE", examples)
    domains = {domain.name: domain.value for domain in schema.string_domain}
    for feature in schema.feature:
        domain = (
            domains.get(feature.domain, feature.string_domain.value)
            if feature.name == features.LABEL
            else ()
        )
        for label in sorted(set(domain) - set(labels)) if labels else []:
            what = (
                f"no row of {quote(label)}, which is in the schema's domain: the model could never"
                " say it. Add rows, or take it out of the schema"
            )
            yield Anomaly(split, features.LABEL, "missing_class", what)
    small = {label: count for label, count in labels.items() if count < params.min_class_rows}
    if small:
        examples = tuple(figures["label_examples"][label] for label in list(small)[:3])
        named = ", ".join(
            f"{quote(label)} ({count:,})" for label, count in list(small.items())[:NUM_NAMED]
        )
        more = f", and {len(small) - NUM_NAMED:,} more" if len(small) > NUM_NAMED else ""
        what = (
            f"{len(small)} of {len(labels)} classes have fewer rows than"
            f" example_validator.min_class_rows {params.min_class_rows:,}:"
            f" {named}{more}{example(examples)}. Add rows, or put them into other classes"
        )
        yield Anomaly(
            split, features.LABEL, "few_class_rows", what, "FEATURE_TYPE_LOW_UNIQUE", examples
        )


def check_rare(manifest: Manifest, statistics: Mapping[str, Any]) -> Iterator[Anomaly]:
    """Classes whose rows example_gen left out or gathered.

    Those that train has no row of, and those of which it has too few.
    """
    for kind, is_unseen in (("unseen_class", True), ("rare_class", False)):
        records = [
            record
            for record in manifest.rare_classes
            if record.done != KEPT and record.is_unseen == is_unseen
        ]
        if not records:
            continue
        named = ", ".join(
            f"{quote(record.label)} ({record.counted})" for record in records[:NUM_NAMED]
        )
        more = f", and {len(records) - NUM_NAMED:,} more" if len(records) > NUM_NAMED else ""
        have, their, them = (
            ("1 class has", "its", "it")
            if len(records) == 1
            else (f"{len(records):,} classes have", "their", "them")
        )
        lack = (
            "no row in train"
            if is_unseen
            else "fewer rows in train than example_gen.min_class_rows"
        )
        done = "left out" if records[0].done == LEFT_OUT else "counted as example_gen.other_class"
        what = (
            f"{have} {lack}, and {their} rows are {done}:"
            f" {named}{more}{_unmeasured(records, statistics)}. Add rows of {them} to train,"
            " correct the labels, or choose with example_gen.rare_classes"
        )
        split = next(
            split
            for split in features.SPLITS
            if any(split in record.num_rows for record in records)
        )
        yield Anomaly(split, features.LABEL, kind, what, "ENUM_TYPE_UNEXPECTED_STRING_VALUES")


def _unmeasured(records: Sequence[RareClass], statistics: Mapping[str, Any]) -> str:
    """That accuracy is measured without the rows that are left out, where a model is measured."""
    shares = []
    for split in (features.EVAL, features.TEST):
        num_left_out = sum(
            record.num_rows.get(split, 0) for record in records if record.done == LEFT_OUT
        )
        if num_left_out:
            shares.append(
                f"{num_left_out:,} of {statistics['splits'][split]['num_rows'] + num_left_out:,}"
                f" rows of {split}"
            )
    return f". Accuracy is measured without them ({' and '.join(shares)})" if shares else ""


def check_repeats(
    split: str, statistics: Mapping[str, Any], params: ExampleValidatorParams
) -> Iterator[Anomaly]:
    """Rows that are in two splits, many times in one, or under several labels."""
    figures, content = statistics["splits"][split], statistics["content"]
    num_rows = figures["num_rows"]
    if figures["num_missing"][content] == num_rows:
        return  # contents that are not there are all alike
    for other, found in figures["duplicates"].items():
        if found["num_rows"] > params.max_duplicate_fraction * num_rows:
            what = (
                f"{share(found['num_rows'], num_rows)} are in {other}, too, more than"
                " example_validator.max_duplicate_fraction"
                f" {params.max_duplicate_fraction:.1%}{example(found['examples'])}. Take them out"
                " of one split, or let example_gen split by content"
            )
            yield Anomaly(split, content, "duplicates", what, examples=tuple(found["examples"]))
    if figures["num_repeated"] > params.max_repeated_fraction * num_rows:
        texts = tuple(top["value"] for top in figures["top_values"][:3])
        most = (
            f", e.g. {quote(texts[0])} ({figures['top_values'][0]['count']:,} times)"
            if texts
            else ""
        )
        what = (
            f"{share(figures['num_repeated'], num_rows)} repeat another one, more than"
            f" example_validator.max_repeated_fraction {params.max_repeated_fraction:.1%}{most}."
            " Was the source joined with itself? Take the copies out"
        )
        yield Anomaly(split, content, "repeated_rows", what, examples=texts)
    ambiguous = figures["ambiguous"]
    if ambiguous["num_rows"] > params.max_ambiguous_fraction * num_rows:
        shown = ambiguous["examples"][0]
        labels = " and ".join(quote(label) for label in shown["labels"][:3])
        what = (
            f"{share(ambiguous['num_rows'], num_rows)} have contents that are there under several"
            " labels, more than example_validator.max_ambiguous_fraction"
            f" {params.max_ambiguous_fraction:.1%}, e.g. {quote(shown['text'])} as {labels}. Settle"
            " their labels, or take them out"
        )
        yield Anomaly(
            split,
            content,
            "ambiguous",
            what,
            examples=tuple(each["text"] for each in ambiguous["examples"]),
        )


def check_dimensions(split: str, statistics: Mapping[str, Any]) -> Iterator[Anomaly]:
    """Dimensions of sequences that never change.

    Nothing can be learned from them, and scaling would divide by zero.
    """
    constant = [
        place
        for place, dimension in enumerate(statistics["splits"][split]["dimensions"] or [])
        if dimension["min"] == dimension["max"]
    ]
    if constant:
        first = statistics["splits"][split]["dimensions"][constant[0]]["min"]
        what = (
            f"{len(constant)} of {statistics['dim']} dimensions are constant: number"
            f" {', '.join(map(str, constant[:5]))}{', ...' if len(constant) > 5 else ''}, e.g."
            f" always {first:g}. Is a sensor dead? Leave them out of the source"
        )
        yield Anomaly(split, f"{features.SEQUENCE}[{constant[0]}]", "constant_dimension", what)
