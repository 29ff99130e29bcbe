"""The data of a run as a report shows them: sizes, vocabulary, drift, anomalies."""

from typing import Any

from pipeline.report.records import Records
from seqline.data import features

# In what example_gen itself says of rows that it skipped, with their files and lines.
SKIPPED = "cannot be used and are skipped"


def data(records: Records) -> dict[str, Any] | None:
    """The section on the data; None if the run has no Examples."""
    read, counted = records.figures("example_gen"), records.files.get("statistics_gen") or {}
    if not read:
        return None

    splits = counted.get("splits", {})
    return {
        "content": (
            (records.files.get("example_gen") or {}).get("content") or counted.get("content")
        ),
        "num_read": read.get("num_read"),
        "num_bad_rows": read.get("num_bad_rows", 0),
        "num_bad": counted.get("num_bad", {}),
        "num_rows": {
            split: sum(labels.values()) for split, labels in read.get("num_rows", {}).items()
        },
        "labels": _labels(read.get("num_rows", {})),
        "spans": _spans(records),
        "tokens": {
            split: _tokens(statistics["tokens"])
            for split, statistics in splits.items()
            if statistics.get("tokens")
        },
        "lengths": {
            split: {name: _length(lengths) for name, lengths in statistics["lengths"].items()}
            for split, statistics in splits.items()
        },
        "duplicates": records.figures("statistics_gen").get("num_duplicates", {}),
        "weights": records.figures("statistics_gen").get("weights", {}).get(features.TRAIN),
        "num_ambiguous": records.figures("statistics_gen").get("num_ambiguous_texts"),
        "newest": _newest(counted.get("newest")),
        "vocabulary": _vocabulary(records),
        "anomalies": records.files.get("example_validator") or [],
    }


def warnings(records: Records) -> list[str]:
    """Sentences about data that did not stop the run: skipped rows, rare classes, anomalies."""
    read, judged = records.figures("example_gen"), records.figures("example_validator")
    sentences = []

    of_reading = _sentences(read.get("warnings"))
    num_bad = read.get("num_bad_rows", 0)
    if num_bad and not any(SKIPPED in sentence for sentence in of_reading):
        sentences.append(_skipped(num_bad, read.get("num_read"), records))
    sentences += of_reading

    anomalies = records.files.get("example_validator") or []
    lines = [anomaly["line"] for anomaly in anomalies if anomaly.get("severity") == "warning"]
    sentences += (
        _sentences(judged.get("warnings"))
        or lines
        or judged.get("lines", [])[judged.get("num_errors", 0) :]
    )

    return list(dict.fromkeys(f"{sentence.rstrip('.')}." for sentence in sentences))


def _sentences(value: Any) -> list[str]:
    """The texts in a list, or a single text as a list; empty for any other value."""
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str) and text]


def _skipped(num_bad: int, num_read: int | None, records: Records) -> str:
    """A sentence on the rows that were skipped, with their number by problem."""
    by_problem: dict[str, int] = {}
    for span in (records.files.get("example_gen") or {}).get("spans", []):
        for problem, count in span.get("num_bad", {}).items():
            by_problem[problem] = by_problem.get(problem, 0) + count

    problems = [f"{problem} ({count:,})" for problem, count in sorted(by_problem.items())]
    why = f": {', '.join(problems)}" if problems else ""
    of = f" of {num_read:,}" if num_read else ""
    return (
        f"{num_bad:,}{of} rows could not be used and were skipped{why}. bad_rows in the Examples"
        " has the file and line of each"
    )


def _labels(num_rows: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """[{label, <split>: rows}], the most frequent first."""
    rows: dict[str, dict[str, int]] = {}
    for split, counts in num_rows.items():
        for label, count in counts.items():
            rows.setdefault(label, {})[split] = count
    labels = sorted(rows, key=lambda label: (-sum(rows[label].values()), label))
    return [{"label": label, **rows[label]} for label in labels]


def _spans(records: Records) -> list[dict[str, Any]]:
    spans = []
    for span in (records.files.get("example_gen") or {}).get("spans", []):
        counts = span["num_rows"]
        spans.append(
            {
                "span": span["number"],
                "digest": span["key"],
                "num_read": span["num_read"],
                "num_rows": {split: sum(labels.values()) for split, labels in counts.items()},
                "num_bad": sum(span.get("num_bad", {}).values()),
            }
        )
    return spans


def _tokens(tokens: dict[str, Any]) -> dict[str, Any]:
    """The tokens of a split. `oov` has those that train lacks, and the rate expected from train."""
    shown = {name: tokens[name] for name in ("num", "num_distinct", "num_once")}
    return shown | {"oov": _oov(tokens["oov"]) if tokens.get("oov") else None}


def _oov(oov: dict[str, Any]) -> dict[str, Any]:
    shown = {name: oov.get(name) for name in ("rate", "expected", "num", "num_distinct", "overlap")}
    return shown | {"top": [token["value"] for token in oov.get("top", [])]}


def _length(length: dict[str, Any]) -> dict[str, Any]:
    return {name: length[name] for name in ("min", "max", "mean")} | {
        "quantiles": length["quantiles"]
    }


def _newest(newest: dict[str, Any] | None) -> dict[str, Any] | None:
    """The newest span compared with the spans before it."""
    if not newest:
        return None
    shown = {"span": newest["span"], "earlier": newest["earlier"], "repeated": newest["repeated"]}
    return shown | {name: _oov(newest[name]) for name in ("tokens", "chars") if newest.get(name)}


def _vocabulary(records: Records) -> dict[str, Any] | None:
    """The transform's vocabulary; None for sequences, which have none."""
    figures = records.figures("transform")
    if figures.get("num_tokens") is None:
        return None
    names = (
        "num_tokens",
        "num_distinct_tokens",
        "oov_rate",
        "max_length",
        "max_length_from_data",
        "num_cut",
        "num_rows",
        "vocabulary_drift",
    )
    return {name: figures.get(name) for name in names}
