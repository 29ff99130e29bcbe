"""Runs every check, gives severities, and writes tensorflow-metadata's Anomalies."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.example_validator import (
    ExampleValidatorParams,
    against_schema,
    label_checks,
    row_checks,
    skew,
    window,
)
from components.example_validator.anomaly import Anomaly, Measurement
from seqline.data import features
from seqline.data.manifest import read_outline
from seqline.data.schema_origin import SchemaOrigin
from seqline.errors import DataError
from seqline.storage import records

SCHEMA_DIFF = "SchemaDiff.pb"

INFO = anomalies_pb2.AnomalyInfo
MEASUREMENT = anomalies_pb2.DriftSkewInfo.Measurement


def validate(
    examples: Path, statistics: Path, schema: Path, params: ExampleValidatorParams, output: Path
) -> list[dict[str, Any]]:
    """Writes Split-*/SchemaDiff.pb.

    Returns:
        The anomalies that are not ignored, as anomalies.json holds them: errors first, then in the
        order of the checks.

    Raises:
        DataError: the Statistics are not of these Examples.
    """
    manifest = read_outline(examples)
    spans = sorted(span.number for span in manifest.spans)
    read = window.read_window(statistics, max(spans, default=0))
    figures = read.figures

    newest = figures["newest"]
    compared = [*newest["earlier"], newest["span"]] if newest else spans
    is_of_them = figures["content"] == manifest.content and compared == spans
    if not is_of_them or set(figures["spans"]) != set(map(str, spans)):
        raise DataError(
            f"The Statistics {statistics} are not of the Examples {examples}: "
            "run statistics_gen on them."
        )

    parsed_schema = text_format.Parse(
        (schema / features.SCHEMA).read_text(encoding="utf-8"), schema_pb2.Schema()
    )
    origin = records.of_artifact(SchemaOrigin, schema / features.SCHEMA_ORIGIN)
    severities = params.severities_by(origin.curated)

    anomalies: list[Anomaly] = []
    measurements: list[Measurement] = []
    for result in (
        *_check(read, statistics, parsed_schema, params),
        *row_checks.check_rare(manifest, figures),
        *row_checks.check_swallowed(manifest),
        *label_checks.check_similar(manifest, figures),
    ):
        if isinstance(result, Measurement):
            measurements.append(result)
        elif severities[result.kind] != "ignore":
            anomalies.append(result)

    # The sort is stable, and "error" comes before "warning".
    anomalies.sort(key=lambda anomaly: severities[anomaly.kind])

    for split in features.SPLITS:
        is_empty = not figures["splits"][split]["num_rows"]
        diff = _diff(split, parsed_schema, anomalies, measurements, severities, is_empty)
        path = output / f"Split-{split}" / SCHEMA_DIFF
        path.parent.mkdir()
        path.write_bytes(diff.SerializeToString(deterministic=True))

    return [
        {
            "split": anomaly.split,
            "feature": anomaly.feature,
            "kind": anomaly.kind,
            "severity": severities[anomaly.kind],
            "line": anomaly.line,
            "examples": list(anomaly.examples),
        }
        for anomaly in anomalies
    ]


def _check(
    read: window.Window, statistics: Path, schema: Any, params: ExampleValidatorParams
) -> Iterator[Anomaly | Measurement]:
    """All checks but those of the manifest, split by split."""
    figures = read.figures
    yield from row_checks.check_sizes(figures, schema, params)
    yield from row_checks.check_copies(figures)

    splits = [split for split in features.SPLITS if figures["splits"][split]["num_rows"]]
    for split in splits:
        path = statistics / f"Split-{split}" / features.FEATURE_STATS
        stats = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        dataset = stats.datasets[0]
        yield from against_schema.check(split, dataset, figures["splits"][split], schema)
        yield from row_checks.check_classes(split, figures, schema, params)
        yield from row_checks.check_repeats(split, figures, params)
        yield from row_checks.check_dimensions(split, figures)
        yield from label_checks.check_script(split, figures, params)
        if split != features.TRAIN and features.TRAIN in splits:
            yield from skew.skew(split, figures, schema, params)

    if figures["newest"]:
        yield from skew.drift(read, schema, params)


def _diff(
    split: str,
    schema: Any,
    anomalies: Sequence[Anomaly],
    measurements: Sequence[Measurement],
    severities: Mapping[str, str],
    is_empty: bool,
) -> anomalies_pb2.Anomalies:
    """The Anomalies of a split as TFDV fills them in.

    Each feature has one AnomalyInfo, with a reason for each anomaly.
    """
    diff = anomalies_pb2.Anomalies(
        baseline=schema,
        anomaly_name_format=anomalies_pb2.Anomalies.SERIALIZED_PATH,
        data_missing=is_empty,
    )

    by_feature: dict[str, list[Anomaly]] = {}
    for anomaly in anomalies:
        if anomaly.split == split:
            by_feature.setdefault(anomaly.feature, []).append(anomaly)

    for feature, of_feature in by_feature.items():
        info = diff.anomaly_info[feature] if feature else diff.dataset_anomaly_info
        if feature:
            info.path.step.append(feature)

        is_error = any(severities[anomaly.kind] == "error" for anomaly in of_feature)
        info.severity = INFO.ERROR if is_error else INFO.WARNING
        info.description = " ".join(f"{anomaly.message}." for anomaly in of_feature)
        is_single = len(of_feature) == 1
        info.short_description = _title(of_feature[0].kind) if is_single else "Multiple errors"

        for anomaly in of_feature:
            info.reason.add(
                type=INFO.Type.Value(anomaly.reason),
                short_description=_title(anomaly.kind),
                description=f"{anomaly.message}.",
            )

    for measurement in measurements:
        if measurement.split == split:
            _add_measurement(diff, measurement)
    return diff


def _title(kind: str) -> str:
    return kind.replace("_", " ").capitalize()


def _add_measurement(diff: anomalies_pb2.Anomalies, measurement: Measurement) -> None:
    info = next(
        (info for info in diff.drift_skew_info if list(info.path.step) == [measurement.feature]),
        None,
    )
    if info is None:
        info = diff.drift_skew_info.add()
        info.path.step.append(measurement.feature)

    written = info.skew_measurements if measurement.kind == "skew" else info.drift_measurements
    written.add(
        type=MEASUREMENT.Type.Value(measurement.measure),
        value=measurement.value,
        threshold=measurement.threshold,
    )
