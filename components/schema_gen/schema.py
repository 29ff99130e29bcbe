"""Writes a schema: infers it from the statistics of train, or copies a curated one."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.schema_gen import SchemaGenParams
from seqline.component import Figures
from seqline.data import features
from seqline.data.schema_origin import SchemaOrigin
from seqline.errors import UserError

HEADER = (
    "# Inferred by schema_gen from the train split. To change it, copy it, edit it, and name the"
    " copy with schema_gen.curated.\n"
)
STATS = statistics_pb2.FeatureNameStatistics
TYPES = {
    STATS.STRING: schema_pb2.BYTES,
    STATS.INT: schema_pb2.INT,
    STATS.FLOAT: schema_pb2.FLOAT,
}


def write(statistics: Path, params: SchemaGenParams, output: Path) -> Figures:
    """Writes the artifact; see `components.schema_gen`.

    Raises:
        UserError: the curated schema is missing or damaged.
    """
    is_curated = params.curated is not None
    if params.curated is not None:
        schema = parse_curated(params.curated)
        (output / features.SCHEMA).write_bytes(read_curated(params.curated))
    else:
        schema = infer(_statistics_of_train(statistics), params)
        text = HEADER + text_format.MessageToString(schema, as_utf8=True)
        (output / features.SCHEMA).write_text(text, encoding="utf-8")

    origin = json.dumps(asdict(SchemaOrigin(is_curated))) + "\n"
    (output / features.SCHEMA_ORIGIN).write_text(origin, encoding="utf-8")

    domains = {domain.name: len(domain.value) for domain in schema.string_domain}
    return {
        "num_features": len(schema.feature),
        "num_classes": domains.get(features.LABEL),
        "curated": is_curated,
    }


def _statistics_of_train(statistics: Path) -> statistics_pb2.DatasetFeatureStatistics:
    path = statistics / f"Split-{features.TRAIN}" / features.FEATURE_STATS
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets[0]


def read_curated(path: str) -> bytes:
    """The content of a curated schema's file. Raises UserError if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"schema_gen.curated {path!r} cannot be read ({error.strerror}). "
            "Correct the path, or leave it out."
        ) from None


def parse_curated(path: str) -> schema_pb2.Schema:
    """A Schema from a file in text format.

    Raises:
        UserError: the file cannot be read, is not a Schema (the message names the line), or
            names no feature.
    """
    content = read_curated(path)
    try:
        schema = text_format.Parse(content.decode(), schema_pb2.Schema())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(
            f"schema_gen.curated {path!r} is not a Schema of tensorflow-metadata in text format: "
            f"{str(error).rstrip('.')}. "
            "Correct that place; an inferred schema.pbtxt shows the format."
        ) from None

    if not schema.feature:
        raise UserError(
            f"schema_gen.curated {path!r} names no feature, so nothing would be checked. "
            "Write `feature { name: ... }` entries."
        )
    return schema


def infer(dataset: Any, params: SchemaGenParams) -> schema_pb2.Schema:
    """The Schema of a DatasetFeatureStatistics.

    A feature without any value gets no bounds.
    """
    schema = schema_pb2.Schema()
    for stats in dataset.features:
        name = stats.path.step[0]
        feature = schema.feature.add(name=name, type=TYPES[stats.type])

        if stats.HasField("validation_derived_source"):
            feature.lifecycle_stage = schema_pb2.VALIDATION_DERIVED
            feature.validation_derived_source.CopyFrom(stats.validation_derived_source)
        else:
            feature.presence.min_fraction = 1.0
            feature.presence.min_count = 1

        if name in (features.TEXT, features.LABEL, features.WEIGHT):
            feature.shape.SetInParent()
        elif name in (features.TOKENS, features.SEQUENCE):
            feature.value_count.min = 1

        if name == features.LABEL:
            labels = sorted(bucket.label for bucket in stats.string_stats.rank_histogram.buckets)
            if labels:
                feature.domain = name
                schema.string_domain.add(name=name, value=labels)
        elif name == features.WEIGHT:
            # Of any size: weights that are new are no fault.
            feature.float_domain.min = 0
            feature.float_domain.disallow_nan = True
            feature.float_domain.disallow_inf = True
        elif stats.HasField("num_stats") and stats.num_stats.common_stats.num_non_missing:
            _add_bounds(feature, name, stats.num_stats, params)

    schema.dataset_constraints.min_examples_count = 1
    return schema


def _add_bounds(feature: Any, name: str, stats: Any, params: SchemaGenParams) -> None:
    if feature.type == schema_pb2.FLOAT:
        slack = params.value_slack * (stats.max - stats.min)
        feature.float_domain.min = stats.min - slack
        feature.float_domain.max = stats.max + slack
        feature.float_domain.disallow_nan = True
        feature.float_domain.disallow_inf = True
        return

    factor = params.length_slack if name.startswith("num_") else 1
    feature.int_domain.min = max(1, math.floor(stats.min / factor))
    feature.int_domain.max = math.ceil(stats.max * factor)
