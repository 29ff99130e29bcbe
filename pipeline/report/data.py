"""What the statistics and the data gate found, as a report shows it.

Sizes, vocabulary, drift, anomalies.
"""

from typing import Any

from pipeline.report.records import Records

# Labels whose rows are listed one by one.
NUM_LABELS = 30


def data(records: Records) -> dict[str, Any] | None:
    """None where the run did not get to its data."""
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
            split: _tokens(each["tokens"]) for split, each in splits.items() if each.get("tokens")
        },
        "lengths": {
            split: {name: _length(found) for name, found in each["lengths"].items()}
            for split, each in splits.items()
        },
        "duplicates": records.figures("statistics_gen").get("num_duplicates", {}),
        "num_ambiguous": records.figures("statistics_gen").get("num_ambiguous_texts"),
        "newest": _newest(counted.get("newest")),
        "vocabulary": _vocabulary(records),
        "anomalies": records.files.get("example_validator") or [],
    }


def warnings(records: Records) -> list[str]:
    """What a person should know of the data although the run went on.

    Rows that were skipped, rare classes, the data gate's warnings.
    """
    read, judged = records.figures("example_gen"), records.figures("example_validator")
    told = []
    if num_bad := read.get("num_bad_rows", 0):
        told.append(_skipped(num_bad, read.get("num_read"), records))
    told += _sentences(read.get("warnings"))
    found = records.files.get("example_validator") or []
    lines = [each["line"] for each in found if each.get("severity") == "warning"]
    told += (
        _sentences(judged.get("warnings"))
        or lines
        or judged.get("lines", [])[judged.get("num_errors", 0) :]
    )
    return list(dict.fromkeys(f"{sentence.rstrip('.')}." for sentence in told))


def _sentences(value: Any) -> list[str]:
    """A list of texts, or one; empty for what is neither."""
    found = value if isinstance(value, list) else [value]
    return [each for each in found if isinstance(each, str) and each]


def _skipped(num_bad: int, num_read: int | None, records: Records) -> str:
    by_problem: dict[str, int] = {}
    for span in (records.files.get("example_gen") or {}).get("spans", []):
        for problem, count in span.get("num_bad", {}).items():
            by_problem[problem] = by_problem.get(problem, 0) + count
    why = (
        ": " + ", ".join(f"{problem} ({count:,})" for problem, count in sorted(by_problem.items()))
        if by_problem
        else ""
    )
    of = f" of {num_read:,}" if num_read else ""
    return (
        f"{num_bad:,}{of} rows could not be used and were skipped{why}. bad_rows in the Examples"
        " has the file and line of each"
    )


def _labels(num_rows: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """[{label, <split>: rows}], the most frequent first."""
    found: dict[str, dict[str, int]] = {}
    for split, counts in num_rows.items():
        for label, count in counts.items():
            found.setdefault(label, {})[split] = count
    return [
        {"label": label, **counts}
        for label, counts in sorted(
            found.items(), key=lambda each: (-sum(each[1].values()), each[0])
        )
    ]


def _spans(records: Records) -> list[dict[str, Any]]:
    found = []
    for span in (records.files.get("example_gen") or {}).get("spans", []):
        num_rows = {split: sum(counts.values()) for split, counts in span["num_rows"].items()}
        found.append(
            {
                "span": span["number"],
                "digest": span["key"],
                "num_read": span["num_read"],
                "num_rows": num_rows,
            }
            | _bad(span)
        )
    return found


def _bad(span: dict[str, Any]) -> dict[str, int]:
    return {"num_bad": sum(span.get("num_bad", {}).values())}


def _tokens(found: dict[str, Any]) -> dict[str, Any]:
    """Of a split. oov.

    Tokens that train has not: their rate, and the rate that train lets expect.
    """
    shown = {name: found[name] for name in ("num", "num_distinct", "num_once")}
    return shown | {"oov": _oov(found["oov"]) if found.get("oov") else None}


def _oov(found: dict[str, Any]) -> dict[str, Any]:
    shown = {
        name: found.get(name) for name in ("rate", "expected", "num", "num_distinct", "overlap")
    }
    return shown | {"top": [each["value"] for each in found.get("top", [])]}


def _length(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("min", "max", "mean")} | {
        "quantiles": found["quantiles"]
    }


def _newest(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """The newest span against those before it."""
    if not found:
        return None
    shown = {"span": found["span"], "earlier": found["earlier"], "repeated": found["repeated"]}
    return shown | {name: _oov(found[name]) for name in ("tokens", "chars") if found.get(name)}


def _vocabulary(records: Records) -> dict[str, Any] | None:
    """Of the transform; None with sequences, which have none."""
    found = records.figures("transform")
    names = (
        "num_tokens",
        "num_distinct_tokens",
        "oov_rate",
        "num_at_max_length",
        "num_rows",
        "vocabulary_drift",
    )
    return (
        {name: found.get(name) for name in names} if found.get("num_tokens") is not None else None
    )
