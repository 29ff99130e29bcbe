"""Checks one split's FeatureStats against the schema. Examples come from statistics.json."""

from collections.abc import Iterator, Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.example_validator.anomaly import Anomaly, example, named_classes, quote, share
from components.example_validator.label_checks import domain_of
from seqline.data import features

STATS = statistics_pb2.FeatureNameStatistics
NOT_YET_OR_NO_MORE = {
    schema_pb2.PLANNED,
    schema_pb2.ALPHA,
    schema_pb2.DEPRECATED,
    schema_pb2.DEBUG_ONLY,
    schema_pb2.DISABLED,
}
TYPES = {
    STATS.STRING: schema_pb2.BYTES,
    STATS.BYTES: schema_pb2.BYTES,
    STATS.INT: schema_pb2.INT,
    STATS.FLOAT: schema_pb2.FLOAT,
}

Stats = Any
Feature = Any


def check(split: str, dataset: Any, figures: Mapping[str, Any], schema: Any) -> Iterator[Anomaly]:
    """Checks a split that has rows.

    Args:
        split: the split.
        dataset: its DatasetFeatureStatistics.
        figures: its figures in statistics.json.
        schema: the Schema.
    """
    stats_of = {stats.path.step[0]: stats for stats in dataset.features}
    raw = [
        name for name, stats in stats_of.items() if not stats.HasField("validation_derived_source")
    ]
    for name in raw:
        yield from _exists(split, name, stats_of[name])

    for feature in schema.feature:
        if feature.lifecycle_stage in NOT_YET_OR_NO_MORE:
            continue

        stats = stats_of.get(feature.name)
        if stats is None:
            if feature.lifecycle_stage != schema_pb2.VALIDATION_DERIVED and (
                feature.presence.min_fraction or feature.presence.min_count
            ):
                message = (
                    f"the schema asks for it, and the Examples have only {' and '.join(raw)}."
                    " Correct the source or example_gen's columns, or take it out of the schema"
                )
                yield Anomaly(
                    split, feature.name, "missing_feature", message, "SCHEMA_MISSING_COLUMN"
                )
            continue

        if feature.type != schema_pb2.TYPE_UNKNOWN and feature.type != TYPES[stats.type]:
            wanted = schema_pb2.FeatureType.Name(feature.type)
            actual = schema_pb2.FeatureType.Name(TYPES[stats.type])
            message = (
                f"the schema says {wanted}, the Examples hold {actual}. Correct the source's"
                " content, or the type in the schema"
            )
            yield Anomaly(split, feature.name, "wrong_type", message, "UNEXPECTED_DATA_TYPE")
            continue

        if _common(stats).num_non_missing:
            yield from _presence(split, feature, stats)
            yield from _num_values(split, feature, stats)
            yield from _domain(split, feature, stats, figures, schema)
            yield from _range(split, feature, stats, figures)


def _common(stats: Stats) -> Any:
    if stats.HasField("string_stats"):
        return stats.string_stats.common_stats
    return stats.num_stats.common_stats


def _exists(split: str, name: str, stats: Stats) -> Iterator[Anomaly]:
    """A feature that no row has is missing, whatever the schema says.

    A schema inferred from the same data would not ask for it.
    """
    common = _common(stats)
    if not common.num_non_missing:
        # example_gen.text names the column of any content.
        param = name if name in (features.LABEL, features.WEIGHT) else features.TEXT
        message = (
            f"none of the {common.num_missing:,} rows has any. Is example_gen.{param} the right"
            " column of the source?"
        )
        yield Anomaly(split, name, "missing_feature", message, "FEATURE_TYPE_NOT_PRESENT")


def _presence(split: str, feature: Feature, stats: Stats) -> Iterator[Anomaly]:
    common, presence = _common(stats), feature.presence
    num_rows = common.num_missing + common.num_non_missing
    if common.num_non_missing / num_rows < presence.min_fraction:
        message = (
            f"{share(common.num_missing, num_rows)} have none, the schema allows"
            f" {1 - presence.min_fraction:.1%} (presence.min_fraction). Take these rows out of the"
            " source, or lower it"
        )
        yield Anomaly(
            split, feature.name, "low_presence", message, "FEATURE_TYPE_LOW_FRACTION_PRESENT"
        )
    elif common.num_non_missing < presence.min_count:
        message = (
            f"{common.num_non_missing:,} rows have one, the schema asks for {presence.min_count:,}"
            " (presence.min_count). Add rows, or lower it"
        )
        yield Anomaly(
            split, feature.name, "low_presence", message, "FEATURE_TYPE_LOW_NUMBER_PRESENT"
        )


def _num_values(split: str, feature: Feature, stats: Stats) -> Iterator[Anomaly]:
    common, wanted = _common(stats), feature.value_count
    if common.min_num_values < wanted.min:
        message = (
            f"a row has {common.min_num_values:,} values, the schema asks for {wanted.min:,}"
            " (value_count.min). Take short rows out, or lower it"
        )
        yield Anomaly(
            split, feature.name, "length_bounds", message, "FEATURE_TYPE_LOW_NUMBER_VALUES"
        )

    if wanted.max and common.max_num_values > wanted.max:
        message = (
            f"a row has {common.max_num_values:,} values, the schema allows {wanted.max:,}"
            " (value_count.max). Take long rows out, or raise it"
        )
        yield Anomaly(
            split, feature.name, "length_bounds", message, "FEATURE_TYPE_HIGH_NUMBER_VALUES"
        )


def _domain(
    split: str, feature: Feature, stats: Stats, figures: Mapping[str, Any], schema: Any
) -> Iterator[Anomaly]:
    """Checks labels against their domain. Texts and tokens have none: no list holds all of them."""
    domain = domain_of(schema)
    if feature.name != features.LABEL or not domain:
        return

    unknown = {label: count for label, count in figures["labels"].items() if label not in domain}
    num_rows = sum(figures["labels"].values())
    num_unknown = sum(unknown.values())
    allowed = 0.0
    if feature.HasField("distribution_constraints"):
        allowed = 1 - feature.distribution_constraints.min_domain_mass
    if num_unknown / num_rows > allowed:
        most_frequent = sorted(unknown.items(), key=lambda entry: (-entry[1], entry[0]))
        named = named_classes(f"{quote(label)} ({count:,})" for label, count in most_frequent)
        known = ", ".join(quote(label) for label in sorted(domain)[:5])
        examples = tuple(figures["label_examples"][label] for label in sorted(unknown)[:3])
        message = (
            f"{share(num_unknown, num_rows)} have labels that the schema does not know: {named}; it"
            f" knows {len(domain)}: {known}{', ...' if len(domain) > 5 else ''}{example(examples)}."
            " Correct these rows, or add the labels to the domain in a curated schema"
        )
        yield Anomaly(
            split,
            feature.name,
            "unknown_label",
            message,
            "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
            examples,
        )


def _range(
    split: str, feature: Feature, stats: Stats, figures: Mapping[str, Any]
) -> Iterator[Anomaly]:
    """Checks lengths, the dimension and numbers against their bounds."""
    for name, kind in (("int_domain", "INT"), ("float_domain", "FLOAT")):
        domain = getattr(feature, name)
        if not feature.HasField(name) or not stats.HasField("num_stats"):
            continue

        lowest, highest = stats.num_stats.min, stats.num_stats.max
        if domain.HasField("min") and not lowest >= domain.min:
            reason = f"{kind}_TYPE_SMALL_{kind}"
            yield _outside(split, feature.name, True, lowest, domain.min, reason, figures)
        if domain.HasField("max") and not highest <= domain.max:
            reason = f"{kind}_TYPE_BIG_{kind}"
            yield _outside(split, feature.name, False, highest, domain.max, reason, figures)


def _outside(
    split: str,
    name: str,
    is_low: bool,
    value: float,
    bound: float,
    reason: str,
    figures: Mapping[str, Any],
) -> Anomaly:
    which, allows = ("shortest", "at least") if is_low else ("longest", "at most")
    if name == "dim":
        message = (
            f"a step has {value:g} numbers, the schema says {bound:g}. Correct the source, or the"
            " bounds of dim in the schema"
        )
        return Anomaly(split, name, "dimension", message, reason)

    if reason.startswith("INT"):
        length = figures["lengths"].get(name)
        examples = (length[which],) if length else ()
        message = (
            f"the {which} row has {value:,.0f}, the schema allows {allows}"
            f" {bound:,.0f}{example(examples)}. Look for rows that were cut or run together, or"
            " widen int_domain in a curated schema"
        )
        return Anomaly(split, name, "length_bounds", message, reason, examples)

    message = (
        f"a number is {value:g}, the schema allows {allows} {bound:g}. Look for another unit or a"
        " broken sensor, or widen float_domain in a curated schema"
    )
    return Anomaly(split, name, "value_range", message, reason)
