"""One split's FeatureStats against the schema, with what statistics.json has to show for it."""

from collections.abc import Iterator, Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.example_validator.anomaly import Anomaly, example, quote, share
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
    """What is wrong with a split that has rows. figures: the split's part of statistics.json."""
    found = {stats.path.step[0]: stats for stats in dataset.features}
    raw = [name for name, stats in found.items() if not stats.HasField("validation_derived_source")]
    for name in raw:
        yield from _there_at_all(split, name, found[name])
    for feature in schema.feature:
        if feature.lifecycle_stage in NOT_YET_OR_NO_MORE:
            continue
        stats = found.get(feature.name)
        if stats is None:
            if feature.lifecycle_stage != schema_pb2.VALIDATION_DERIVED and (
                feature.presence.min_fraction or feature.presence.min_count
            ):
                what = (
                    f"the schema asks for it, and the Examples have only {' and '.join(raw)}."
                    " Correct the source or example_gen's columns, or take it out of the schema"
                )
                yield Anomaly(split, feature.name, "missing_feature", what, "SCHEMA_MISSING_COLUMN")
            continue
        if feature.type != schema_pb2.TYPE_UNKNOWN and feature.type != TYPES[stats.type]:
            wanted, is_there = (
                schema_pb2.FeatureType.Name(feature.type),
                schema_pb2.FeatureType.Name(TYPES[stats.type]),
            )
            what = (
                f"the schema says {wanted}, the Examples hold {is_there}. Correct the source's"
                " content, or the type in the schema"
            )
            yield Anomaly(split, feature.name, "wrong_type", what, "UNEXPECTED_DATA_TYPE")
            continue
        if _common(stats).num_non_missing:
            yield from _presence(split, feature, stats)
            yield from _num_values(split, feature, stats)
            yield from _domain(split, feature, stats, figures, schema)
            yield from _range(split, feature, stats, figures)


def _common(stats: Stats) -> Any:
    return (
        stats.string_stats.common_stats
        if stats.HasField("string_stats")
        else stats.num_stats.common_stats
    )


def _there_at_all(split: str, name: str, stats: Stats) -> Iterator[Anomaly]:
    """A feature that no row has is missing, whatever the schema says.

    A schema inferred from the same data would not ask for it.
    """
    common = _common(stats)
    if not common.num_non_missing:
        param = (
            features.LABEL if name == features.LABEL else features.TEXT
        )  # `text` names the column of any content
        what = (
            f"none of the {common.num_missing:,} rows has any. Is example_gen.{param} the right"
            " column of the source?"
        )
        yield Anomaly(split, name, "missing_feature", what, "FEATURE_TYPE_NOT_PRESENT")


def _presence(split: str, feature: Feature, stats: Stats) -> Iterator[Anomaly]:
    common, presence = _common(stats), feature.presence
    num_rows = common.num_missing + common.num_non_missing
    if common.num_non_missing / num_rows < presence.min_fraction:
        what = (
            f"{share(common.num_missing, num_rows)} have none, the schema allows"
            f" {1 - presence.min_fraction:.1%} (presence.min_fraction). Take these rows out of the"
            " source, or lower it"
        )
        yield Anomaly(
            split, feature.name, "low_presence", what, "FEATURE_TYPE_LOW_FRACTION_PRESENT"
        )
    elif common.num_non_missing < presence.min_count:
        what = (
            f"{common.num_non_missing:,} rows have one, the schema asks for {presence.min_count:,}"
            " (presence.min_count). Add rows, or lower it"
        )
        yield Anomaly(split, feature.name, "low_presence", what, "FEATURE_TYPE_LOW_NUMBER_PRESENT")


def _num_values(split: str, feature: Feature, stats: Stats) -> Iterator[Anomaly]:
    common, wanted = _common(stats), feature.value_count
    if common.min_num_values < wanted.min:
        what = (
            f"a row has {common.min_num_values:,} values, the schema asks for {wanted.min:,}"
            " (value_count.min). Take short rows out, or lower it"
        )
        yield Anomaly(split, feature.name, "length_bounds", what, "FEATURE_TYPE_LOW_NUMBER_VALUES")
    if wanted.max and common.max_num_values > wanted.max:
        what = (
            f"a row has {common.max_num_values:,} values, the schema allows {wanted.max:,}"
            " (value_count.max). Take long rows out, or raise it"
        )
        yield Anomaly(split, feature.name, "length_bounds", what, "FEATURE_TYPE_HIGH_NUMBER_VALUES")


def _domain(
    split: str, feature: Feature, stats: Stats, figures: Mapping[str, Any], schema: Any
) -> Iterator[Anomaly]:
    """Labels outside their domain. (Of texts and tokens nothing has all values.)"""
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    domain = domains.get(feature.domain, list(feature.string_domain.value))
    if feature.name != features.LABEL or not domain:
        return
    unknown = {label: count for label, count in figures["labels"].items() if label not in domain}
    num_rows, num_unknown = sum(figures["labels"].values()), sum(unknown.values())
    allowed = (
        1 - feature.distribution_constraints.min_domain_mass
        if feature.HasField("distribution_constraints")
        else 0.0
    )
    if num_unknown / num_rows > allowed:
        named = ", ".join(
            f"{quote(label)} ({count:,})"
            for label, count in sorted(unknown.items(), key=lambda entry: (-entry[1], entry[0]))[:5]
        )
        known = ", ".join(quote(label) for label in sorted(domain)[:5])
        examples = tuple(figures["label_examples"][label] for label in sorted(unknown)[:3])
        what = (
            f"{share(num_unknown, num_rows)} have labels that the schema does not know: {named}; it"
            f" knows {len(domain)}: {known}{', ...' if len(domain) > 5 else ''}{example(examples)}."
            " Correct these rows, or add the labels to the domain in a curated schema"
        )
        yield Anomaly(
            split,
            feature.name,
            "unknown_label",
            what,
            "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
            examples,
        )


def _range(
    split: str, feature: Feature, stats: Stats, figures: Mapping[str, Any]
) -> Iterator[Anomaly]:
    """Lengths, the dimension and numbers outside their bounds."""
    for name, kind in (("int_domain", "INT"), ("float_domain", "FLOAT")):
        domain = getattr(feature, name)
        if not feature.HasField(name) or not stats.HasField("num_stats"):
            continue
        for low, value, bound in (
            (True, stats.num_stats.min, domain.min),
            (False, stats.num_stats.max, domain.max),
        ):
            if not domain.HasField("min" if low else "max") or (
                value >= bound if low else value <= bound
            ):
                continue
            reason = f"{kind}_TYPE_{'SMALL' if low else 'BIG'}_{kind}"
            yield _outside(split, feature.name, low, value, bound, reason, figures)


def _outside(
    split: str,
    name: str,
    low: bool,
    value: float,
    bound: float,
    reason: str,
    figures: Mapping[str, Any],
) -> Anomaly:
    which, allows = ("shortest", "at least") if low else ("longest", "at most")
    if name == "dim":
        what = (
            f"a step has {value:g} numbers, the schema says {bound:g}. Correct the source, or the"
            " bounds of dim in the schema"
        )
        return Anomaly(split, name, "dimension", what, reason)
    if reason.startswith("INT"):
        length = figures["lengths"].get(name)
        examples = (length[which],) if length else ()
        what = (
            f"the {which} row has {value:,.0f}, the schema allows {allows}"
            f" {bound:,.0f}{example(examples)}. Look for rows that were cut or run together, or"
            " widen int_domain in a curated schema"
        )
        return Anomaly(split, name, "length_bounds", what, reason, examples)
    what = (
        f"a number is {value:g}, the schema allows {allows} {bound:g}. Look for another unit or a"
        " broken sensor, or widen float_domain in a curated schema"
    )
    return Anomaly(split, name, "value_range", what, reason)
