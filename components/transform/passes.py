"""From Examples to Features: missing first passes, vocabularies, the graph, the second pass."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.transform import (
    TransformParams,
    analyze,
    by_script,
    graph,
    lengths,
    materialize,
    ngram_counts,
    part_path,
    vocabulary,
)
from components.transform.analysis import buckets_of, moments_of
from components.transform.graph import Parameters
from seqline.component import Figures
from seqline.data import features, ngrams
from seqline.data.examples import span_of
from seqline.data.manifest import Manifest, read_manifest
from seqline.data.read_examples import examples_of
from seqline.data.span_cache import SpanCache
from seqline.host import progress
from seqline.jobs.beam import job
from seqline.storage.staging import local_folder, remove

log = logging.getLogger("seqline.transform")


def transform(
    examples: Path,
    params: TransformParams,
    output: Path,
    span_cache: SpanCache,
    previous: Path | None,
    beam_args: Sequence[str],
) -> tuple[Figures, dict[str, Any]]:
    """Writes the artifact, except transform.json.

    Returns:
        The figures, and the content of transform.json.
    """
    manifest = read_manifest(examples)
    num_analyzed, parts = first_pass(examples, manifest, params, span_cache, beam_args)
    language = ""
    if params.tokens is None and manifest.content == features.TEXT:
        params, language = by_script.resolve(params, parts.values())
        if language:
            log.info("texts are %s: tokens are characters (transform.tokens)", language)
            num_more, parts = first_pass(examples, manifest, params, span_cache, beam_args)
            num_analyzed = max(num_analyzed, num_more)

    is_from_data = params.max_length is None
    params = lengths.resolve(params, parts.values(), manifest.content)

    progress.tell("building the vocabulary and the graph")
    with local_folder(output) as folder:
        parameters, figures, drift = learn(
            manifest, params, list(parts.values()), folder / "vocabularies", previous
        )
        graph.write(parameters, params, folder)
        if limit := params.most_ngrams(manifest.content):
            table = choose_ngrams(manifest, params, parts.values(), parameters.tokens or [], limit)
            table.write(folder / ngrams.TABLE)
            figures["num_sequences"] = len(table.sequences)
            figures["num_characters"] = len(table.characters)

    # Every worker can read the vocabularies in the output.
    parameters = replace(parameters, folder=output / "vocabularies")
    rows = materialize.materialize(
        examples, manifest, parameters, params, parts, output, span_cache, beam_args
    )

    progress.tell("verifying the graph")
    graph.verify(examples, manifest, output)
    if span_cache.root.is_relative_to(output):
        remove(span_cache.root)

    num_made = rows.pop("num_made")
    figures = {
        "content": manifest.content,
        "dim": manifest.dim,
        **figures,
        "max_length": params.max_length,
        "max_length_from_data": is_from_data,
        **rows,
    }
    summary: dict[str, Any] = {}
    if manifest.content == features.TEXT:
        summary["lowercase"] = params.lowercase
        figures["tokens"] = params.tokens
        if language:
            figures["language"] = language
    if manifest.is_weighted:
        summary["weighted"] = True
    summary["ngrams"] = params.most_ngrams(manifest.content) > 0
    summary |= figures

    # How much was reused depends on the span cache; the artifact does not, so these stay out of it.
    reuse = {
        "num_spans": len(manifest.spans),
        "num_spans_analyzed": num_analyzed,
        "num_shards_made": num_made,
    }
    return {**figures, **reuse, **({"vocabulary_drift": drift} if drift else {})}, summary


def first_pass(
    examples: Path,
    manifest: Manifest,
    params: TransformParams,
    span_cache: SpanCache,
    beam_args: Sequence[str],
) -> tuple[int, dict[int, Path]]:
    """Analyzes the spans that were not analyzed yet.

    Returns:
        How many they were, and span -> its part, for all spans.
    """
    parts = {
        span.number: part_path(span_cache, span.key, manifest.content, params)
        for span in manifest.spans
    }
    spans = {span.number: span.key for span in manifest.spans}
    with analyze(
        spans=spans,
        content=manifest.content,
        dim=manifest.dim,
        params=params,
        span_cache=span_cache,
    ) as transform:
        if transform is None:
            return 0, parts

        paths = [
            path
            for split in manifest.splits
            for path in features.shards(examples, split)
            if span_of(path) in transform.folders
        ]
        what = (manifest.content, manifest.dim, manifest.is_weighted)
        with (
            examples_of(paths, *what, span_cache.list_folder()) as shards,
            job(beam_args) as pipeline,
        ):
            _ = pipeline | "Examples" >> shards | "Analyze" >> transform

    return len(transform.folders), parts


def choose_ngrams(
    manifest: Manifest,
    params: TransformParams,
    parts: Iterable[Path],
    tokens: Sequence[bytes],
    limit: int,
) -> ngrams.Table:
    """The n-grams of the train split that a model may use.

    Args:
        manifest: of the Examples.
        params: of the transform.
        parts: the parts of the spans.
        tokens: the vocabulary, in rank order.
        limit: the most n-grams of each kind.
    """
    rows = [span.num_rows.get(features.TRAIN, {}).values() for span in manifest.spans]
    return ngram_counts.choose(
        ngram_counts.buckets_of(parts),
        tokens,
        num_texts=sum(map(sum, rows)),
        kinds=ngram_counts.kinds_of(manifest.content, params.tokens or "word"),
        limit=limit,
    )


def learn(
    manifest: Manifest,
    params: TransformParams,
    parts: Sequence[Path],
    output: Path,
    previous: Path | None,
) -> tuple[Parameters, Figures, Figures | None]:
    """Learns from the train split what the graph needs.

    Args:
        manifest: of the Examples.
        params: of the transform.
        parts: the parts of the spans.
        output: the folder to which the vocabularies are written.
        previous: the last Features, to compare the vocabulary with.

    Returns:
        The graph's parameters, figures, and the drift of the vocabulary (None without a previous
        one).
    """
    output.mkdir()
    labels_of_spans = [span.num_rows.get(features.TRAIN, {}) for span in manifest.spans]
    labels = sorted({label.encode() for of_span in labels_of_spans for label in of_span})
    vocabulary.write(output / features.LABELS_VOCABULARY, labels)
    figures: Figures = {"num_classes": len(labels)}

    if manifest.content == features.SEQUENCE:
        mean, scale = graph.standardization(moments_of(parts), params)
        parameters = Parameters(
            manifest.content, labels, output, dim=manifest.dim, mean=mean, scale=scale
        )
        return parameters, figures, None

    if warning := vocabulary.never_occurring(params, manifest.content):
        log.warning("%s", warning)
    tokens, token_figures, counts = vocabulary.rank(buckets_of(parts), params)
    vocabulary.write(output / features.TOKENS_VOCABULARY, tokens)
    parameters = Parameters(manifest.content, labels, output, tokens=tokens)
    drift = vocabulary.drift(tokens, counts, previous)
    return parameters, {**token_figures, **figures}, drift
