"""Skew and drift: a split against train, the newest span against the earlier ones.

Every bound is widened to what chance explains: between two samples from one source, a difference of
CHANCE standard deviations is not news.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.example_validator import ExampleValidatorParams
from components.example_validator.anomaly import Anomaly, Measurement, quote
from components.example_validator.window import Window
from seqline.data import features

# Standard deviations that chance explains; for a divergence, multiples of its mean.
CHANCE = 4
# If a larger share of the reference's own tokens occurs once, they are names or codes, not words,
# and the tokens of new rows are new, too.
MAX_EXPECTED_OOV = 0.5
# With fewer frequent tokens their overlap says nothing.
MIN_FREQUENT = 20

Counts = Mapping[Any, int]
Finding = Anomaly | Measurement


@dataclass(frozen=True)
class Comparison:
    """What is compared with what.

    Attributes:
        split: the split of the rows.
        kind: "skew" or "drift".
        sides: how a line names the rows and the others, such as ("in eval", "in train").
        comparators: feature -> the Schema's comparator.
    """

    split: str
    kind: str
    sides: tuple[str, str]
    comparators: Mapping[str, Any]

    def bound(self, feature: str, norm: str, default: float) -> float:
        """The distance by a norm that the Schema allows, or the default where it has none."""
        comparator = self.comparators.get(feature)
        if comparator is None or not comparator.HasField(norm):
            return default
        return float(getattr(comparator, norm).threshold)


def skew(
    split: str, statistics: Mapping[str, Any], schema: Any, params: ExampleValidatorParams
) -> Iterator[Finding]:
    """Compares a split with train. Both have rows."""
    train, figures = statistics["splits"][features.TRAIN], statistics["splits"][split]
    comparators = {feature.name: feature.skew_comparator for feature in schema.feature}
    compared = Comparison(split, "skew", (f"in {split}", "in train"), comparators)
    yield from _labels(compared, figures["labels"], train["labels"], params.max_label_skew)

    for name in sorted(figures["lengths"].keys() & train["lengths"].keys()):
        counts = dict(figures["lengths"][name]["histogram"])
        others = dict(train["lengths"][name]["histogram"])
        yield from _lengths(compared, name, counts, others, params.max_length_divergence)

    for noun, kinds in (
        ("tokens", ("token_oov", "token_overlap")),
        ("chars", ("char_oov", "char_oov")),
    ):
        if figures[noun]:
            yield from _outside(
                split,
                statistics["content"],
                noun,
                kinds,
                f"in {split}",
                "train",
                figures[noun]["oov"],
                figures["num_rows"],
                params,
            )


def drift(window: Window, schema: Any, params: ExampleValidatorParams) -> Iterator[Finding]:
    """Compares the train rows of the newest span with those of the earlier spans, if any."""
    newest, span, earlier = window.figures["newest"], window.newest, window.earlier
    if not span.num_rows or not earlier.num_rows or not newest["earlier"]:
        return

    before = f"span {newest['earlier'][0]}"
    if len(newest["earlier"]) > 1:
        before = f"the spans {newest['earlier'][0]} to {newest['earlier'][-1]}"

    sides = (f"in span {newest['span']}", f"in {before}")
    comparators = {feature.name: feature.drift_comparator for feature in schema.feature}
    compared = Comparison(features.TRAIN, "drift", sides, comparators)
    yield from _labels(compared, span.labels, earlier.labels, params.max_label_drift)
    for name, counts in span.lengths.items():
        others = earlier.lengths.get(name, {})
        yield from _lengths(compared, name, counts, others, params.max_length_divergence)

    content = window.figures["content"]
    for noun, kind in (("tokens", "token_drift"), ("chars", "char_drift")):
        if noun in newest:
            yield from _outside(
                features.TRAIN,
                content,
                noun,
                (kind, kind),
                sides[0],
                before,
                newest[noun],
                span.num_rows,
                params,
            )

    yield from _repeated_span(newest["repeated"], content, span.num_rows, sides, params)


def _repeated_span(
    repeated: Mapping[str, Any],
    content: str,
    num_rows: int,
    sides: tuple[str, str],
    params: ExampleValidatorParams,
) -> Iterator[Anomaly]:
    """Finds a span of whose rows too many occur in earlier spans."""
    if repeated["num_rows"] <= params.max_repeated_fraction * num_rows:
        return

    message = (
        f"{repeated['num_rows']:,} of {num_rows:,} rows {sides[0]} are {sides[1]}, too,"
        f" e.g. {quote(repeated['examples'][0])}. Was a span delivered twice? Take one out, or"
        " raise example_validator.max_repeated_fraction"
    )
    examples = tuple(repeated["examples"])
    yield Anomaly(features.TRAIN, content, "repeated_span", message, examples=examples)


def _labels(
    compared: Comparison, counts: Counts, others: Counts, bound: float
) -> Iterator[Finding]:
    """Compares label shares.

    Args:
        compared: what is compared.
        counts: label -> rows.
        others: the same of the others.
        bound: the distance that is allowed where the Schema has no bound.
    """
    num, num_others = sum(counts.values()), sum(others.values())
    if not num or not num_others:
        return

    label = max(
        sorted(counts.keys() | others.keys()),
        key=lambda name: abs(counts.get(name, 0) / num - others.get(name, 0) / num_others),
    )
    part = counts.get(label, 0) / num
    other = others.get(label, 0) / num_others

    bound = compared.bound(features.LABEL, "infinity_norm", bound)
    pooled = (counts.get(label, 0) + others.get(label, 0)) / (num + num_others)
    threshold = max(bound, CHANCE * math.sqrt(pooled * (1 - pooled) * (1 / num + 1 / num_others)))
    split, kind, sides = compared.split, compared.kind, compared.sides
    yield Measurement(split, features.LABEL, kind, "L_INFTY", abs(part - other), threshold)
    if abs(part - other) > threshold:
        message = (
            f"{quote(label)} is {part:.1%} of the rows {sides[0]} and {other:.1%} {sides[1]}:"
            f" L-infinity distance {abs(part - other):.3f}, allowed {threshold:.3f}. Look at how"
            f" the rows were collected, or raise example_validator.max_label_{kind}"
        )
        yield Anomaly(split, features.LABEL, f"label_{kind}", message, "COMPARATOR_L_INFTY_HIGH")


def _lengths(
    compared: Comparison, name: str, counts: Counts, others: Counts, bound: float
) -> Iterator[Finding]:
    """Compares histograms of lengths. The other arguments are as in `_labels`."""
    num, num_others = sum(counts.values()), sum(others.values())
    if not num or not num_others:
        return

    divergence = jensen_shannon(counts, others)
    bound = compared.bound(name, "jensen_shannon_divergence", bound)
    # The mean between samples of n and m from one source is (bins - 1) (1/n + 1/m) / (8 ln 2), that
    # of a chi-squared variable.
    num_bins = len(counts.keys() | others.keys())
    by_chance = (num_bins - 1) * (1 / num + 1 / num_others) / (8 * math.log(2))
    threshold = max(bound, CHANCE * by_chance)
    split, kind, sides = compared.split, compared.kind, compared.sides
    yield Measurement(split, name, kind, "JENSEN_SHANNON_DIVERGENCE", divergence, threshold)
    if divergence > threshold:
        message = (
            f"the lengths {sides[0]} (about {_median(counts):,} at the median) are not those"
            f" {sides[1]} (about {_median(others):,}): Jensen-Shannon divergence {divergence:.3f},"
            f" allowed {threshold:.3f}. Are the rows cut or joined in another way? Make them alike,"
            " or raise example_validator.max_length_divergence"
        )
        yield Anomaly(
            split, name, f"length_{kind}", message, "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH"
        )


def jensen_shannon(counts: Counts, others: Counts) -> float:
    """The Jensen-Shannon divergence of two histograms over the same bins, base 2.

    It is 0 for equal shares and 1 for histograms with no bin in common.
    """
    num = sum(counts.values())
    num_others = sum(others.values())
    divergence = 0.0
    for key in sorted(counts.keys() | others.keys()):
        parts = counts.get(key, 0) / num, others.get(key, 0) / num_others
        divergence += sum(part * math.log2(2 * part / sum(parts)) for part in parts if part) / 2
    return divergence


def _median(counts: Counts) -> int:
    """The lower edge of the bin with the median."""
    rest = sum(counts.values()) / 2
    for edge in sorted(counts):
        rest -= counts[edge]
        if rest <= 0:
            break
    return int(edge)


def _outside(
    split: str,
    feature: str,
    noun: str,
    kinds: tuple[str, str],
    side: str,
    reference: str,
    oov: Mapping[str, Any],
    num_rows: int,
    params: ExampleValidatorParams,
) -> Iterator[Anomaly]:
    """Finds too many tokens or characters that the reference does not have.

    Args:
        split: the split of the rows.
        feature: their content.
        noun: "tokens" or "chars".
        kinds: the kind of anomaly for too many unknown ones, and for too few known frequent ones.
        side: how a line names the rows, such as "in eval".
        reference: how a line names the reference.
        oov: the figures of what the reference does not have, from statistics.json.
        num_rows: of the rows.
        params: with the bounds.
    """
    if oov["rate"] is None or oov["expected"] is None:
        return
    if noun == "tokens" and oov["expected"] > MAX_EXPECTED_OOV:
        return

    field = "max_token_oov_excess" if noun == "tokens" else "max_char_oov_rate"
    # Tokens of one row are not independent, so there are as many draws as rows.
    spread = math.sqrt(max(oov["expected"], 0.001) * (1 - oov["expected"]) / num_rows)
    bound = oov["expected"] + getattr(params, field) + CHANCE * spread
    examples = tuple(entry["value"] for entry in oov["top"])
    entries = ", ".join(quote(entry) for entry in examples[:3])
    named = "characters" if noun == "chars" else noun
    advice = "Is it another language or encoding?"

    if oov["rate"] > bound:
        message = (
            f"{oov['rate']:.1%} of the {named} {side} are unknown to {reference}, at most"
            f" {bound:.1%} are allowed: {entries}. {advice} Correct the rows, or raise"
            f" example_validator.{field}"
        )
        yield Anomaly(split, feature, kinds[0], message, examples=examples)
    elif (
        noun == "tokens"
        and oov["num_frequent"] >= MIN_FREQUENT
        and oov["overlap"] < params.min_token_overlap
    ):
        message = (
            f"{reference} knows {oov['overlap']:.1%} of the {oov['num_frequent']:,} frequent tokens"
            f" {side}, less than example_validator.min_token_overlap"
            f" {params.min_token_overlap:.1%}; unknown are {entries}. {advice} Correct the rows, or"
            " lower it"
        )
        yield Anomaly(split, feature, kinds[1], message, examples=examples)
