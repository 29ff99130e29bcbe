"""What the data must look like: a schema inferred from the train split, or one that somebody wrote.

Reads Statistics. Writes `schema.pbtxt`: tensorflow-metadata's Schema in text format, with the
features of the Examples and, marked VALIDATION_DERIVED, the lengths and the dimensions of
sequences, so that bounds for them have a place; and `origin.json`: {"curated"}, whether somebody
wrote it. An inferred schema says what train is like, a curated one what the data must be:
example_validator judges by that.

Inferred, from the train split:
  presence     every row has its content and a label, whatever the data say
  label        its domain is the labels of the train split
  num_*        lengths from min / length_slack to max * length_slack
  sequence     numbers from min - value_slack * (max - min) to max + value_slack * (max - min), of
               all dimensions and of each
  dim          as it is
Statistics cannot tell what is right: copy the file, edit it, and name the copy with
schema_gen.curated.
"""

import json
import math
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from seqline.component import Component, Figures, NotInKey, Params
from seqline.data import features
from seqline.errors import UserError

HEADER = (
    "# Inferred by schema_gen from the train split. To change it, copy it, edit it, and name the"
    " copy with schema_gen.curated.\n"
)


class SchemaGenParams(Params):
    curated: Annotated[str | None, NotInKey] = Field(
        None, description="a schema.pbtxt to use as it is; without one, a schema is inferred"
    )
    length_slack: float = Field(
        4.0,
        ge=1,
        description=(
            "how many times as short or as long as in train a content may be, in an inferred schema"
        ),
    )
    value_slack: float = Field(
        0.5,
        ge=0,
        description=(
            "how far beyond the range of train a sequence's number may be, in parts of that range"
        ),
    )


def check(params: SchemaGenParams) -> None:
    """Raises UserError for a curated schema that is missing or no Schema."""
    if params.curated is not None:
        parse(params.curated)


def external_digest(params: SchemaGenParams, memory: Path | None = None) -> str:
    """The digest of the curated schema; "" without one."""
    return (
        "" if params.curated is None else blake2b(_read(params.curated), digest_size=16).hexdigest()
    )


def run(*, statistics: Path, params: SchemaGenParams, output: Path) -> Figures:
    """Writes the curated schema as it is, or an inferred one. Raises UserError as `check` does."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import statistics_pb2

    if params.curated is not None:
        schema = parse(params.curated)
        (output / features.SCHEMA).write_bytes(_read(params.curated))
    else:
        path = statistics / f"Split-{features.TRAIN}" / features.FEATURE_STATS
        schema = infer(
            statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes()).datasets[0],
            params,
        )
        text = HEADER + text_format.MessageToString(schema, as_utf8=True)
        (output / features.SCHEMA).write_text(text, encoding="utf-8")
    is_curated = params.curated is not None
    (output / features.SCHEMA_ORIGIN).write_text(
        json.dumps({"curated": is_curated}) + "\n", encoding="utf-8"
    )
    domains = {domain.name: len(domain.value) for domain in schema.string_domain}
    return {
        "num_features": len(schema.feature),
        "num_classes": domains.get(features.LABEL),
        "curated": is_curated,
    }


def parse(path: str) -> Any:
    """A Schema from its text format. Raises UserError, naming the line."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    content = _read(path)
    try:
        schema = text_format.Parse(content.decode(), schema_pb2.Schema())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(
            f"schema_gen.curated {path!r} is not a Schema of tensorflow-metadata in text format:"
            f" {str(error).rstrip('.')}. Correct that place; an inferred schema.pbtxt shows the"
            " format."
        ) from None
    if not schema.feature:
        raise UserError(
            f"schema_gen.curated {path!r} names no feature, so nothing would be checked. Write"
            " `feature { name: ... }` entries."
        )
    return schema


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(
            f"schema_gen.curated {path!r} cannot be read ({error.strerror}). Correct the path, or"
            " leave it out."
        ) from None


def infer(dataset: Any, params: SchemaGenParams) -> Any:
    """The Schema of a DatasetFeatureStatistics.

    A feature without a value has no bounds: there is nothing to take them from.
    """
    from tensorflow_metadata.proto.v0 import schema_pb2

    schema = schema_pb2.Schema()
    for stats in dataset.features:
        name = stats.path.step[0]
        feature = schema.feature.add(name=name, type=_type(stats))
        if stats.HasField("validation_derived_source"):
            feature.lifecycle_stage = schema_pb2.VALIDATION_DERIVED
            feature.validation_derived_source.CopyFrom(stats.validation_derived_source)
        else:
            feature.presence.min_fraction = 1.0
            feature.presence.min_count = 1
        if name in (features.TEXT, features.LABEL):
            feature.shape.SetInParent()
        elif name in (features.TOKENS, features.SEQUENCE):
            feature.value_count.min = 1
        if name == features.LABEL:
            labels = sorted(bucket.label for bucket in stats.string_stats.rank_histogram.buckets)
            if labels:
                feature.domain = name
                schema.string_domain.add(name=name, value=labels)
        elif stats.HasField("num_stats") and stats.num_stats.common_stats.num_non_missing:
            _add_bounds(feature, name, stats.num_stats, params)
    schema.dataset_constraints.min_examples_count = 1
    return schema


def _type(stats: Any) -> int:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

    kinds = statistics_pb2.FeatureNameStatistics
    return {
        kinds.STRING: schema_pb2.BYTES,
        kinds.INT: schema_pb2.INT,
        kinds.FLOAT: schema_pb2.FLOAT,
    }[stats.type]


def _add_bounds(feature: Any, name: str, stats: Any, params: SchemaGenParams) -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    if feature.type == schema_pb2.FLOAT:
        slack = params.value_slack * (stats.max - stats.min)
        feature.float_domain.min, feature.float_domain.max = stats.min - slack, stats.max + slack
        feature.float_domain.disallow_nan = feature.float_domain.disallow_inf = True
        return
    slack = params.length_slack if name.startswith("num_") else 1
    feature.int_domain.min = max(1, math.floor(stats.min / slack))
    feature.int_domain.max = math.ceil(stats.max * slack)


def describe(figures: Figures) -> str:
    origin = "written by hand" if figures["curated"] else "inferred from train"
    classes = f", {figures['num_classes']} classes" if figures["num_classes"] else ""
    return f"{figures['num_features']} features{classes}; {origin}"


SCHEMA_GEN = Component(
    name="schema_gen",
    inputs={"statistics": "Statistics"},
    output="Schema",
    params=SchemaGenParams,
    run=run,
    describe=describe,
    libraries=("tensorflow-metadata",),
    check=check,
    external_digest=external_digest,
)
