"""What the stages of a run read and write, as OpenLineage's datasets.

An artifact is a dataset whose name is its folder: another key is another dataset. The sources of
example_gen and bulk_inferrer, and the version that pusher publishes, are datasets, too.
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    DatasetFacet,
    InputDatasetFacet,
    OutputDatasetFacet,
    column_lineage_dataset,
    data_quality_assertions_dataset,
    data_quality_metrics_input_dataset,
    dataset_version_dataset,
    datasource_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)

from pipeline.runner.run import StageResult
from pipeline.trackers import TrackedRun

TYPES = {"text": "string", "tokens": "array<string>", "sequence": "array<array<float>>"}
IDENTITY, TRANSFORMATION = "IDENTITY", "TRANSFORMATION"
# A gate's or an anomaly's word -> the specification's.
SEVERITIES = {"warning": "warn", "error": "error"}


def place_of(uri: str) -> tuple[str, str]:
    """(namespace, name) of a place, by OpenLineage's rules for names of datasets."""
    if uri.startswith("tfds:"):
        return "tfds", uri.removeprefix("tfds:")
    parts = urlsplit(uri)
    if parts.netloc and "://" in uri:
        return f"{parts.scheme}://{parts.netloc}", parts.path.strip("/") or "/"
    return "file", os.path.abspath(uri)


class Datasets:
    """The datasets of a run.

    Attributes:
        results: The stages that have ended, by name.
        content: What a row holds: text, tokens or sequence.
    """

    def __init__(self, run: TrackedRun) -> None:
        self.run = run
        self.results: dict[str, StageResult] = {}
        self.params: Mapping[str, Any] = run.config.get("example_gen", {})
        self.content = self.params.get("content", "text")

    def of_stage(
        self, result: StageResult, content: Any
    ) -> tuple[list[InputDataset], list[OutputDataset]]:
        """The datasets that a stage read and wrote.

        Args:
            result: The stage.
            content: The file of its artifact that a report shows, if it has one.
        """
        self.results[result.stage.name] = result
        inputs = [
            self._artifact(InputDataset, self.results[source.name])
            for source in result.stage.inputs.values()
            if source.name in self.results
        ]
        inputs += self._sources(result.stage.name)
        if inputs and (facets := _checks(result, content)):
            inputs[0].inputFacets = facets

        output = self._artifact(OutputDataset, result)
        output.outputFacets = self._statistics(result)
        return inputs, [output, *self._published(result)]

    def of_run(self) -> tuple[list[InputDataset], list[OutputDataset]]:
        """The datasets that come from outside a run, and those that it publishes."""
        inputs = [source for name in self.results for source in self._sources(name)]
        outputs = [place for result in self.results.values() for place in self._published(result)]
        return inputs, outputs

    def _artifact(self, kind: Any, result: StageResult) -> Any:
        artifact = result.artifact
        uri = str(artifact.uri)
        facets: dict[str, DatasetFacet] = {
            "version": dataset_version_dataset.DatasetVersionDatasetFacet(artifact.key),
            "dataSource": _data_source(uri),
        }
        facets |= self._fields(result)
        return kind(*place_of(uri), facets=facets)

    def _fields(self, result: StageResult) -> dict[str, DatasetFacet]:
        """The columns of an artifact with rows, and the columns that they are made of."""
        if result.artifact.type == "Examples":
            sources = self._sources(result.stage.name)
            texts = self.params.get("text", "text")
            texts = [texts] if isinstance(texts, str) else texts
            how = IDENTITY if len(texts) == 1 else TRANSFORMATION
            origins = {
                self.content: [(place, text, how) for place in sources for text in texts],
                "label": [
                    (place, self.params.get("label", "label"), IDENTITY) for place in sources
                ],
            }
            return _columns({self.content: TYPES[self.content], "label": "string"}, origins)

        if result.artifact.type == "Features" and "example_gen" in self.results:
            examples = self._artifact(InputDataset, self.results["example_gen"])
            is_sequence = self.content == "sequence"
            name = "values" if is_sequence else "ids"
            origin = [(examples, self.content, TRANSFORMATION)]
            return _columns(
                {
                    name: "array<float>" if is_sequence else "array<int64>",
                    "length": "int64",
                    "label": "int64",
                },
                {name: origin, "length": origin, "label": [(examples, "label", TRANSFORMATION)]},
            )
        return {}

    def _sources(self, stage: str) -> list[InputDataset]:
        """The data outside the store that a stage reads."""
        source = self.run.config.get(stage, {}).get("source") or []
        names = source.values() if isinstance(source, dict) else [source] if source else []

        datasets = []
        for name in dict.fromkeys(names):
            facets: dict[str, DatasetFacet] = {"dataSource": _data_source(name)}
            if stage == "example_gen":
                texts = self.params.get("text", "text")
                columns = dict.fromkeys([texts] if isinstance(texts, str) else texts)
                types = dict.fromkeys(columns, TYPES[self.content])
                facets |= _columns({**types, self.params.get("label", "label"): "string"}, {})
            datasets.append(InputDataset(*place_of(name), facets=facets))
        return datasets

    def _published(self, result: StageResult) -> list[OutputDataset]:
        """The version that pusher published."""
        if result.stage.name != "pusher":
            return []
        uri = f"{result.figures['serving_dir']}/{result.figures['version']}"
        version = dataset_version_dataset.DatasetVersionDatasetFacet(result.figures["digest"])
        facets = {"version": version, "dataSource": _data_source(uri)}
        return [OutputDataset(*place_of(uri), facets=facets)]

    def _statistics(self, result: StageResult) -> dict[str, OutputDatasetFacet]:
        """Bytes, files and rows of an artifact."""
        execution = self.run.store.execution(result.stage.name, result.artifact.key)
        files = (execution.files if execution else None) or {}
        return {
            "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
                rowCount=_total(result.figures.get("num_rows")),
                size=sum(file.size for file in files.values()),
                fileCount=len(files),
            )
        }


def _data_source(uri: str) -> DatasetFacet:
    namespace, name = place_of(uri)
    if namespace == "file":
        uri = f"file://{name}"
    return datasource_dataset.DatasourceDatasetFacet(name=namespace, uri=uri)


def _columns(
    types: Mapping[str, str], origins: Mapping[str, list[tuple[InputDataset, str, str]]]
) -> dict[str, DatasetFacet]:
    """The facets of columns.

    Args:
        types: Column -> type.
        origins: Column -> (dataset, column there, how it is made of it), where that is known.
    """
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=name, type=kind, ordinal_position=position)
        for position, (name, kind) in enumerate(types.items(), start=1)
    ]
    facets: dict[str, DatasetFacet] = {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}

    made_of = {
        name: column_lineage_dataset.Fields(
            [
                column_lineage_dataset.InputField(
                    place.namespace,
                    place.name,
                    column,
                    [column_lineage_dataset.Transformation("DIRECT", subtype=how)],
                )
                for place, column, how in columns
            ]
        )
        for name, columns in origins.items()
        if columns
    }
    if made_of:
        facets["columnLineage"] = column_lineage_dataset.ColumnLineageDatasetFacet(made_of)
    return facets


def _checks(result: StageResult, content: Any) -> dict[str, InputDatasetFacet]:
    """What a stage found out about its first input: figures of its rows, anomalies, gates."""
    if result.stage.name == "statistics_gen" and content:
        return {"dataQualityMetrics": _metrics(content)}

    if result.stage.name == "example_validator":
        anomalies = [_of_anomaly(anomaly) for anomaly in content or ()]
        return _assertions(anomalies or [_assertion("no_anomaly", True)])

    gates = [gate for gate in result.figures.get("gates", ()) if gate["passed"] is not None]
    return _assertions([_of_gate(gate) for gate in gates])


def _metrics(statistics: Mapping[str, Any]) -> InputDatasetFacet:
    """The figures of all splits together."""
    splits = list(statistics.get("splits", {}).values())
    missing: dict[str, int] = {}
    for split in splits:
        for name, number in split.get("num_missing", {}).items():
            missing[name] = missing.get(name, 0) + number

    num_rows = sum(split.get("num_rows", 0) for split in splits)
    labels = {label for split in splits for label in split.get("labels", {})}
    distinct = {"label": len(labels)}
    return data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
        columnMetrics={
            name: data_quality_metrics_input_dataset.ColumnMetrics(
                nullCount=number, distinctCount=distinct.get(name), count=num_rows - number
            )
            for name, number in missing.items()
        },
        rowCount=num_rows,
    )


def _of_anomaly(anomaly: Mapping[str, Any]) -> Any:
    severity = SEVERITIES.get(anomaly.get("severity", ""), anomaly.get("severity"))
    return _assertion(
        anomaly["kind"],
        False,
        column=anomaly.get("feature"),
        severity=severity,
        description=anomaly["line"],
    )


def _of_gate(gate: Mapping[str, Any]) -> Any:
    return _assertion(
        gate["name"],
        bool(gate["passed"]),
        severity="error",
        description=gate["reason"],
        expected=_text(gate["threshold"]),
        actual=_text(gate["value"]),
    )


def _assertion(name: str, success: bool, **fields: Any) -> Any:
    return data_quality_assertions_dataset.Assertion(assertion=name, success=success, **fields)


def _assertions(assertions: list[Any]) -> dict[str, InputDatasetFacet]:
    if not assertions:
        return {}
    facet = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(assertions)
    return {"dataQualityAssertions": facet}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _total(rows: Any) -> int | None:
    """The sum of rows that are counted by split, or by split and label."""
    if isinstance(rows, Mapping):
        counts = [_total(value) or 0 for value in rows.values()]
        return sum(counts) if counts else None
    return rows if isinstance(rows, int) else None
