"""Runs every check, gives severities, and writes tensorflow-metadata's Anomalies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.example_validator import ExampleValidatorParams, against_schema, row_checks, skew
from components.example_validator.anomaly import Anomaly, Measurement
from seqline.data import features
from seqline.data.examples import read_manifest
from seqline.errors import DataError

SCHEMA_DIFF = "SchemaDiff.pb"

INFO = anomalies_pb2.AnomalyInfo
MEASUREMENT = anomalies_pb2.DriftSkewInfo.Measurement


def validate(
    examples: Path, statistics: Path, schema: Path, params: ExampleValidatorParams, output: Path
) -> list[dict[str, Any]]:
    """Writes Split-*/SchemaDiff.pb and returns the anomalies that are not ignored.

    Errors first, then in the order of the checks.

    Raises DataError for Statistics that are not of these Examples.
    """
    figures = json.loads((statistics / features.STATISTICS).read_text(encoding="utf-8"))
    manifest = read_manifest(examples)
    if figures["content"] != manifest.content or set(figures["spans"]) != {
        str(span.number) for span in manifest.spans
    }:
        raise DataError(
            f"The Statistics {statistics} are not of the Examples {examples}: run statistics_gen on"
            " them."
        )
    wanted = text_format.Parse(
        (schema / features.SCHEMA).read_text(encoding="utf-8"), schema_pb2.Schema()
    )
    origin = json.loads((schema / features.SCHEMA_ORIGIN).read_text(encoding="utf-8"))
    severities = params.severities_by(origin["curated"])
    found = [
        *_check(figures, statistics, wanted, params),
        *row_checks.check_rare(manifest, figures),
    ]
    anomalies = [
        each for each in found if isinstance(each, Anomaly) and severities[each.kind] != "ignore"
    ]
    measurements = [each for each in found if isinstance(each, Measurement)]
    anomalies.sort(
        key=lambda each: severities[each.kind]
    )  # stable, and "error" comes before "warning"
    for split in features.SPLITS:
        diff = _diff(
            split,
            wanted,
            anomalies,
            measurements,
            severities,
            not figures["splits"][split]["num_rows"],
        )
        path = output / f"Split-{split}" / SCHEMA_DIFF
        path.parent.mkdir()
        path.write_bytes(diff.SerializeToString(deterministic=True))
    return [
        {
            "split": each.split,
            "feature": each.feature,
            "kind": each.kind,
            "severity": severities[each.kind],
            "line": each.line,
            "examples": list(each.examples),
        }
        for each in anomalies
    ]


def _check(
    figures: Mapping[str, Any], statistics: Path, schema: Any, params: ExampleValidatorParams
) -> Iterator[Anomaly | Measurement]:
    yield from row_checks.check_sizes(figures, schema, params)
    splits = [split for split in features.SPLITS if figures["splits"][split]["num_rows"]]
    for split in splits:
        path = statistics / f"Split-{split}" / features.FEATURE_STATS
        dataset = statistics_pb2.DatasetFeatureStatisticsList.FromString(
            path.read_bytes()
        ).datasets[0]
        yield from against_schema.check(split, dataset, figures["splits"][split], schema)
        yield from row_checks.check_classes(split, figures, schema, params)
        yield from row_checks.check_repeats(split, figures, params)
        yield from row_checks.check_dimensions(split, figures)
        if split != features.TRAIN and features.TRAIN in splits:
            yield from skew.skew(split, figures, schema, params)
    if figures["newest"]:
        yield from skew.drift(figures, schema, params)


def _diff(
    split: str,
    schema: Any,
    anomalies: Sequence[Anomaly],
    measurements: Sequence[Measurement],
    severities: Mapping[str, str],
    is_empty: bool,
) -> anomalies_pb2.Anomalies:
    """The Anomalies of a split, filled as TFDV does.

    One AnomalyInfo for each feature, with a reason for each anomaly.
    """
    diff = anomalies_pb2.Anomalies(
        baseline=schema,
        anomaly_name_format=anomalies_pb2.Anomalies.SERIALIZED_PATH,
        data_missing=is_empty,
    )
    by_feature: dict[str, list[Anomaly]] = {}
    for each in anomalies:
        if each.split == split:
            by_feature.setdefault(each.feature, []).append(each)
    for feature, found in by_feature.items():
        info = diff.anomaly_info[feature] if feature else diff.dataset_anomaly_info
        if feature:
            info.path.step.append(feature)
        info.severity = (
            INFO.ERROR if any(severities[each.kind] == "error" for each in found) else INFO.WARNING
        )
        info.description = " ".join(f"{each.what}." for each in found)
        info.short_description = _title(found[0].kind) if len(found) == 1 else "Multiple errors"
        for each in found:
            info.reason.add(
                type=INFO.Type.Value(each.reason),
                short_description=_title(each.kind),
                description=f"{each.what}.",
            )
    for measured in measurements:
        if measured.split == split:
            _add_measurement(diff, measured)
    return diff


def _title(kind: str) -> str:
    return kind.replace("_", " ").capitalize()


def _add_measurement(diff: anomalies_pb2.Anomalies, measured: Measurement) -> None:
    info = next(
        (info for info in diff.drift_skew_info if list(info.path.step) == [measured.feature]), None
    )
    if info is None:
        info = diff.drift_skew_info.add()
        info.path.step.append(measured.feature)
    written = info.skew_measurements if measured.kind == "skew" else info.drift_measurements
    written.add(
        type=MEASUREMENT.Type.Value(measured.measure),
        value=measured.value,
        threshold=measured.threshold,
    )
