"""CPU of a run with one new span, against a full pass over the same spans, and the bytes of both.

    python -m benchmarks.spans [--dataset agnews_small] [--rows 100000] [--spans 4]

Ingests, counts and transforms `--spans` spans of `--rows` rows each, then one more; then all of
them again with an empty span cache. Every run is a process of its own; imports do not count.
"""

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.common import (
    Table,
    in_own_process,
    measured,
    parser,
    print_result,
    read_jsonl,
    write_jsonl,
)

STAGES = ("example_gen", "statistics_gen", "transform")
NUM_FILES = 4
# The digest of a file that changed less than two seconds ago is not remembered.
SETTLING_SECONDS = 2.5


def write_span(data: Path, span: int, num_rows: int, folder: Path) -> None:
    """Writes the rows of a JSONL file, repeated, each with a token of its own, in four files."""
    rows = read_jsonl(data)
    for number in range(NUM_FILES):
        of_file = []
        for row in range(number, num_rows, NUM_FILES):
            chosen = rows[row % len(rows)]
            of_file.append({**chosen, "text": f"{chosen['text']} u{span}x{row:x}"})
        write_jsonl(folder / f"{number}.jsonl", of_file)


def measure(root: Path, work: Path, name: str) -> dict[str, Any]:
    """example_gen, statistics_gen and transform over all spans, with the span cache in `work`."""
    import tensorflow_transform.beam  # noqa: F401 - not part of what is measured

    from components import example_gen, statistics_gen, transform
    from components.example_gen import ingest
    from components.transform import passes
    from pipeline.store.layout import artifact_digest
    from seqline.data.span_cache import SpanCache

    del ingest, passes
    caches = {stage: SpanCache(work / stage) for stage in STAGES}
    outputs = {stage: work / f"{stage} {name}" for stage in STAGES}
    for output in outputs.values():
        output.mkdir(parents=True)

    source = example_gen.ExampleGenParams(source=f"{root}/{{SPAN}}/*.jsonl")
    readers: dict[str, tuple[Any, Any]] = {
        "statistics_gen": (statistics_gen, statistics_gen.StatisticsGenParams()),
        "transform": (transform, transform.TransformParams()),
    }
    analyses = {
        stage: partial(component.analyze, params=params, span_cache=caches[stage])
        for stage, (component, params) in readers.items()
    }

    def ingest_spans() -> dict[str, Any]:
        return example_gen.run(
            params=source,
            output=outputs["example_gen"],
            span_cache=caches["example_gen"],
            analyses=analyses,
        )

    summary, figures = measured(ingest_spans)
    by_stage = {"example_gen": figures}
    for stage, (component, params) in readers.items():
        run = partial(
            component.run,
            examples=outputs["example_gen"],
            params=params,
            output=outputs[stage],
            span_cache=caches[stage],
        )
        _, by_stage[stage] = measured(run)

    return {
        "cpu_seconds": sum(stage_figures["cpu_seconds"] for stage_figures in by_stage.values()),
        "wall_seconds": sum(stage_figures["wall_seconds"] for stage_figures in by_stage.values()),
        "spans_read": summary["num_spans_read"],
        "cpu_by_stage": {
            stage: round(stage_figures["cpu_seconds"], 1)
            for stage, stage_figures in by_stage.items()
        },
        "digests": {stage: artifact_digest(output) for stage, output in outputs.items()},
    }


def main() -> None:
    arguments = parser(__doc__, dataset="agnews_small")
    arguments.add_argument("--rows", type=int, default=100_000, help="rows of a span")
    arguments.add_argument("--spans", type=int, default=4)
    given = arguments.parse_args()

    table = Table(
        ("run", "<20"),
        ("spans read", "10"),
        ("CPU s", "8.1f"),
        ("wall s", "8.1f"),
        *((stage, "14.1f") for stage in STAGES),
    )
    data = given.data / given.dataset / "train.jsonl"

    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")

        def run(name: str, label: str, work: str) -> None:
            results[name] = row = in_own_process(measure, root, Path(folder, work), name)
            table.row(
                label,
                row["spans_read"],
                row["cpu_seconds"],
                row["wall_seconds"],
                *row["cpu_by_stage"].values(),
            )

        for span in range(1, given.spans + 1):
            write_span(data, span, given.rows, root / str(span))
        time.sleep(SETTLING_SECONDS)
        run("first", f"the first {given.spans} spans", "work")
        write_span(data, given.spans + 1, given.rows, root / str(given.spans + 1))
        run("next", "one new span", "work")
        run("full", f"all {given.spans + 1} again", "full")

    ratio = results["full"]["cpu_seconds"] / results["next"]["cpu_seconds"]
    same = results["full"]["digests"] == results["next"]["digests"]
    print(
        f"{ratio:.1f}x less CPU for the new span; "
        f"{'the same bytes' if same else 'NOT the same bytes'}"
    )
    print_result(
        {"rows_a_span": given.rows, "cpu_ratio": round(ratio, 2), "same_bytes": same, **results}
    )


if __name__ == "__main__":
    main()
