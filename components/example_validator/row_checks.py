"""Checks that a schema cannot express.

Too few rows or classes, rows that repeat, rows that contradict each other, rows that were lost.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.example_validator import ExampleValidatorParams
from components.example_validator.anomaly import Anomaly, example, named_classes, quote, share
from components.example_validator.label_checks import domain_of
from seqline.data import features
from seqline.data.manifest import KEPT, LEFT_OUT, Manifest, RareClass

# Of the splits in which seven rows of a class are expected, one in a thousand lacks it by chance
# (e^-7).
EXPECTED_ROWS = 7
# If at most half of the contents of a split occur an even number of times, that so many all do is
# chance once in a thousand splits (2^-10).
NUM_COPIED = 10


def check_sizes(
    statistics: Mapping[str, Any], schema: Any, params: ExampleValidatorParams
) -> Iterator[Anomaly]:
    """Finds splits that are empty or small, spans without rows, and spans with many bad rows."""
    for split in params.splits:
        num_rows = statistics["splits"][split]["num_rows"]
        wanted = max(params.min_rows, schema.dataset_constraints.min_examples_count)
        if not num_rows:
            message = (
                "it has no rows. Add some to the source, raise example_gen's fraction for it, or"
                f" take {split!r} out of example_validator.splits"
            )
            yield Anomaly(split, "", "empty_split", message, "DATASET_LOW_NUM_EXAMPLES")
        elif num_rows < wanted:
            message = (
                f"{num_rows:,} rows where {wanted:,} are wanted. Add rows, or lower"
                " example_validator.min_rows"
            )
            yield Anomaly(split, "", "few_rows", message, "DATASET_LOW_NUM_EXAMPLES")

    for number, span in statistics["spans"].items():
        if not any(figures["num_rows"] for figures in span["splits"].values()):
            message = (
                f"span {number} has no rows in any split. Deliver it again, or take it out of the"
                " window"
            )
            yield Anomaly(features.TRAIN, "", "empty_split", message, "NO_DATA_IN_SPAN")

        num_bad = sum(span["num_bad"].values())
        if num_bad > params.max_bad_fraction * span["num_read"]:
            most_frequent = sorted(span["num_bad"].items(), key=lambda entry: -entry[1])[:3]
            problems = ", ".join(f"{problem} ({count:,})" for problem, count in most_frequent)
            message = (
                f"{share(num_bad, span['num_read'])} of span {number} could not be used, more than"
                f" example_validator.max_bad_fraction {params.max_bad_fraction:.1%}: {problems}."
                " See bad_rows in the Examples"
            )
            yield Anomaly(features.TRAIN, "", "bad_rows", message)


def check_classes(
    split: str, statistics: Mapping[str, Any], schema: Any, params: ExampleValidatorParams
) -> Iterator[Anomaly]:
    """Finds a train split with one class or tiny ones, and classes that a split lacks."""
    if split == features.TRAIN:
        figures = statistics["splits"][split]
        yield from _one_class(figures)
        yield from _classes_of_schema(figures, schema)
        yield from _small_classes(figures, params)
    else:
        yield from _missing_classes(split, statistics)


def _missing_classes(split: str, statistics: Mapping[str, Any]) -> Iterator[Anomaly]:
    """Classes of train of which a split has no row, though train's shares let expect several."""
    train = statistics["splits"][features.TRAIN]
    figures = statistics["splits"][split]
    num_train = max(1, sum(train["labels"].values()))

    missing = {}  # label -> expected rows
    for label, count in train["labels"].items():
        expected = figures["num_rows"] * count / num_train
        if label not in figures["labels"] and expected >= EXPECTED_ROWS:
            missing[label] = expected

    if not missing:
        return

    named = named_classes(
        [f"{quote(label)} ({expected:.0f})" for label, expected in missing.items()]
    )
    message = (
        f"no row of {len(missing)} of {len(train['labels'])} classes, where train's shares"
        f" let expect so many of {figures['num_rows']:,}: {named}. Is the source"
        f" sorted by class, or {split} cut from another place? Take it from the same rows"
        " as train"
    )
    yield Anomaly(split, features.LABEL, "missing_class", message)


def _one_class(figures: Mapping[str, Any]) -> Iterator[Anomaly]:
    if len(figures["labels"]) != 1:
        return

    label = next(iter(figures["labels"]))
    examples = (figures["label_examples"][label],)
    message = (
        f"all {figures['num_rows']:,} rows have the label {quote(label)}{example(examples)}. A"
        " classifier needs two classes: is example_gen.label the right column?"
    )
    yield Anomaly(
        features.TRAIN, features.LABEL, "one_class", message, "FEATURE_TYPE_LOW_UNIQUE", examples
    )


def _classes_of_schema(figures: Mapping[str, Any], schema: Any) -> Iterator[Anomaly]:
    """Classes of the schema's domain of which train has no row."""
    missing = sorted(domain_of(schema) - set(figures["labels"]))
    if not missing or not figures["labels"]:
        return

    named = named_classes([quote(label) for label in missing])
    message = (
        f"no row of {len(missing):,} of {len(domain_of(schema)):,} classes of the schema's domain:"
        f" {named}. The model could never say them. Add rows, or take them out of the schema"
    )
    yield Anomaly(features.TRAIN, features.LABEL, "missing_class", message)


def _small_classes(figures: Mapping[str, Any], params: ExampleValidatorParams) -> Iterator[Anomaly]:
    labels = figures["labels"]
    small = {label: count for label, count in labels.items() if count < params.min_class_rows}
    if not small:
        return

    examples = tuple(figures["label_examples"][label] for label in list(small)[:3])
    named = named_classes([f"{quote(label)} ({count:,})" for label, count in small.items()])
    message = (
        f"{len(small)} of {len(labels)} classes have fewer rows than"
        f" example_validator.min_class_rows {params.min_class_rows:,}:"
        f" {named}{example(examples)}. Add rows, or put them into other classes"
    )
    yield Anomaly(
        features.TRAIN,
        features.LABEL,
        "few_class_rows",
        message,
        "FEATURE_TYPE_LOW_UNIQUE",
        examples,
    )


def check_rare(manifest: Manifest, statistics: Mapping[str, Any]) -> Iterator[Anomaly]:
    """Finds classes whose rows example_gen left out or put into its other class.

    Train has no row of them, or too few.
    """
    for kind, is_unseen in (("unseen_class", True), ("rare_class", False)):
        records = [
            record
            for record in manifest.rare_classes
            if record.done != KEPT and record.is_unseen == is_unseen
        ]
        if not records:
            continue

        records.sort(key=lambda record: -sum(record.num_rows.values()))
        named = named_classes(f"{quote(record.label)} ({record.counted})" for record in records)
        if len(records) == 1:
            have, their, them = "1 class has", "its", "it"
        else:
            have, their, them = f"{len(records):,} classes have", "their", "them"

        lack = "fewer rows in train than example_gen.min_class_rows"
        if is_unseen:
            lack = "no row in train"

        done = "left out" if records[0].done == LEFT_OUT else "counted as example_gen.other_class"
        message = (
            f"{have} {lack}, and {their} rows are {done}:"
            f" {named}{_unmeasured(records, statistics)}. Add rows of {them} to train,"
            " correct the labels, or choose with example_gen.rare_classes"
        )

        splits = {split for record in records for split in record.num_rows}
        split = next(split for split in features.SPLITS if split in splits)
        yield Anomaly(split, features.LABEL, kind, message, "ENUM_TYPE_UNEXPECTED_STRING_VALUES")


def _unmeasured(records: Sequence[RareClass], statistics: Mapping[str, Any]) -> str:
    """A sentence on the rows of eval and test that are left out; "" if there are none."""
    shares = []
    for split in (features.EVAL, features.TEST):
        num_left_out = sum(
            record.num_rows.get(split, 0) for record in records if record.done == LEFT_OUT
        )
        if num_left_out:
            num_rows = statistics["splits"][split]["num_rows"] + num_left_out
            shares.append(f"{num_left_out:,} of {num_rows:,} rows of {split}")
    return f". Accuracy is measured without them ({' and '.join(shares)})" if shares else ""


def check_repeats(
    split: str, statistics: Mapping[str, Any], params: ExampleValidatorParams
) -> Iterator[Anomaly]:
    """Finds rows that are in two splits, many times in one, or under several labels."""
    figures = statistics["splits"][split]
    content = statistics["content"]
    num_rows = figures["num_rows"]
    if figures["num_missing"][content] == num_rows:
        return  # missing contents are all alike

    for other, duplicates in figures["duplicates"].items():
        if duplicates["num_rows"] > params.max_duplicate_fraction * num_rows:
            message = (
                f"{share(duplicates['num_rows'], num_rows)} are in {other}, too, more than"
                " example_validator.max_duplicate_fraction"
                f" {params.max_duplicate_fraction:.1%}{example(duplicates['examples'])}."
                " Take them out of one split, or let example_gen split by content"
            )
            yield Anomaly(
                split, content, "duplicates", message, examples=tuple(duplicates["examples"])
            )

    is_copied = figures["num_copies"] > 1 and figures["num_distinct"] >= NUM_COPIED
    if figures["num_repeated"] > params.max_repeated_fraction * num_rows and not is_copied:
        texts = tuple(top["value"] for top in figures["top_values"][:3])
        most = ""
        if texts:
            most = f", e.g. {quote(texts[0])} ({figures['top_values'][0]['count']:,} times)"

        message = (
            f"{share(figures['num_repeated'], num_rows)} repeat another one, more than"
            f" example_validator.max_repeated_fraction {params.max_repeated_fraction:.1%}{most}."
            " Was the source joined with itself? Take the copies out"
        )
        yield Anomaly(split, content, "repeated_rows", message, examples=texts)

    ambiguous = figures["ambiguous"]
    if ambiguous["num_rows"] > params.max_ambiguous_fraction * num_rows:
        shown = ambiguous["examples"][0]
        labels = " and ".join(quote(label) for label in shown["labels"][:3])
        message = (
            f"{share(ambiguous['num_rows'], num_rows)} have contents that are there under several"
            " labels, more than example_validator.max_ambiguous_fraction"
            f" {params.max_ambiguous_fraction:.1%}, e.g. {quote(shown['text'])} as {labels}. Settle"
            " their labels, or take them out"
        )
        texts = tuple(shown["text"] for shown in ambiguous["examples"])
        yield Anomaly(split, content, "ambiguous", message, examples=texts)


def check_copies(statistics: Mapping[str, Any]) -> Iterator[Anomaly]:
    """Finds splits in which every row is there several times, as after reading files twice."""
    copied: dict[int, list[str]] = {}  # times -> splits
    for split in features.SPLITS:
        figures = statistics["splits"][split]
        if figures["num_copies"] > 1 and figures["num_distinct"] >= NUM_COPIED:
            copied.setdefault(figures["num_copies"], []).append(split)

    for times, splits in copied.items():
        top = statistics["splits"][splits[0]]["top_values"]
        texts = tuple(entry["value"] for entry in top[:3])
        message = (
            f"every row of {', '.join(splits)} is there {times:,} times{example(texts)}. Are"
            " files read twice, through links or copies, or was a table joined with itself? Take"
            " the copies out of example_gen.source"
        )
        yield Anomaly(splits[0], statistics["content"], "repeated_rows", message, examples=texts)


def check_swallowed(manifest: Manifest) -> Iterator[Anomaly]:
    """Finds rows of CSV files whose quoted fields hold lines that look like rows."""
    num_lines = sum(span.num_swallowed for span in manifest.spans)
    if not num_lines:
        return

    places = [place for span in manifest.spans for place in span.swallowing]
    message = (
        f"{num_lines:,} lines within quoted fields look like rows, with as many columns and a known"
        f" label, as after a quote that is not closed where it should be: in the rows at"
        f" {', '.join(places[:3])}{', ...' if len(places) > 3 else ''}. If quotes are text in these"
        ' files, set example_gen.quoting = "none"; otherwise double them'
    )
    yield Anomaly(features.TRAIN, manifest.content, "swallowed_rows", message)


def check_dimensions(split: str, statistics: Mapping[str, Any]) -> Iterator[Anomaly]:
    """Finds dimensions of sequences that never change, from which nothing can be learned."""
    constant = [
        place
        for place, dimension in enumerate(statistics["splits"][split]["dimensions"] or [])
        if dimension["min"] == dimension["max"]
    ]

    if constant:
        first = statistics["splits"][split]["dimensions"][constant[0]]["min"]
        message = (
            f"{len(constant)} of {statistics['dim']} dimensions are constant: number"
            f" {', '.join(map(str, constant[:5]))}{', ...' if len(constant) > 5 else ''}, e.g."
            f" always {first:g}. Is a sensor dead? Leave them out of the source"
        )
        yield Anomaly(split, f"{features.SEQUENCE}[{constant[0]}]", "constant_dimension", message)
