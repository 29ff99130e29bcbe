"""CPU of a run with one new span against a full pass over the same spans, and whether both give the
same bytes.

    python benchmarks/spans.py [--data ../shared/data/agnews_small/train.jsonl] [--rows 100000]
    [--spans 4]

Ingests, counts and transforms `--spans` spans of `--rows` rows each, then one more; then all of
them anew, with nothing kept. Every run is a process of its own; imports do not count. The last line
is one JSON object.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path


def write_span(data: Path, number: int, num_rows: int, folder: Path) -> None:
    """The rows of a JSONL file, repeated, each with a token that no other row has, in four files."""
    with data.open(newline="\n", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    folder.mkdir(parents=True)
    for part in range(4):
        with (folder / f"{part}.jsonl").open("w", encoding="utf-8") as file:
            for row in range(part, num_rows, 4):
                chosen = rows[row % len(rows)]
                file.write(
                    json.dumps(
                        {**chosen, "text": f"{chosen['text']} u{number}x{row:x}"},
                        ensure_ascii=False,
                    )
                    + "\n"
                )


def measure(root: Path, work: Path, name: str) -> None:
    """example_gen, statistics_gen and transform over all spans, with the span_cache under `work`.

    Prints the figures.
    """
    import tensorflow_transform.beam  # noqa: F401

    from components import statistics_gen, transform
    from components.example_gen import ExampleGenParams, ingest, run
    from components.transform import passes
    from pipeline.store.layout import artifact_digest
    from seqline.data.span_cache import SpanCache

    del ingest, passes
    statistics_params, params = statistics_gen.StatisticsGenParams(), transform.TransformParams()
    span_cache = {
        stage: SpanCache(work / stage) for stage in ("example_gen", "statistics_gen", "transform")
    }
    outputs = {stage: work / f"{stage} {name}" for stage in span_cache}
    for output in outputs.values():
        output.mkdir(parents=True)
    analyses = {
        "statistics_gen": partial(
            statistics_gen.analyze,
            params=statistics_params,
            span_cache=span_cache["statistics_gen"],
        ),
        "transform": partial(transform.analyze, params=params, span_cache=span_cache["transform"]),
    }
    start, cpu = time.monotonic(), [sum(os.times()[:4])]
    source = ExampleGenParams(source=f"{root}/{{SPAN}}/*.jsonl")
    examples = outputs["example_gen"]
    figures = run(
        params=source, output=examples, span_cache=span_cache["example_gen"], analyses=analyses
    )
    cpu.append(sum(os.times()[:4]))
    for stage, component, chosen in (
        ("statistics_gen", statistics_gen, statistics_params),
        ("transform", transform, params),
    ):
        component.run(
            examples=examples, params=chosen, output=outputs[stage], span_cache=span_cache[stage]
        )
        cpu.append(sum(os.times()[:4]))
    result = {
        "cpu_seconds": cpu[-1] - cpu[0],
        "wall_seconds": time.monotonic() - start,
        "spans_read": figures["num_spans_read"],
    }
    result["cpu_by_stage"] = dict(
        zip(span_cache, (round(after - before, 1) for before, after in pairwise(cpu)), strict=True)
    )
    print(
        json.dumps(
            {
                **result,
                "digests": {stage: artifact_digest(output) for stage, output in outputs.items()},
            }
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/agnews_small/train.jsonl")
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--spans", type=int, default=4)
    parser.add_argument(
        "--measure", nargs=3, metavar=("ROOT", "WORK", "NAME"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.measure:
        root, work, name = arguments.measure
        measure(Path(root), Path(work), name)
        return
    results = {}
    print(
        f"{'run':<20} {'spans read':>10} {'CPU s':>8} {'wall s':>8}  CPU s of example_gen,"
        " statistics_gen, transform"
    )
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "data")
        for number in range(1, arguments.spans + 1):
            write_span(arguments.data, number, arguments.rows, root / str(number))
        time.sleep(
            2.5
        )  # a file that changed less than two seconds ago has no digest that one could rely on
        runs = {
            "first": f"the first {arguments.spans} spans",
            "next": "one new span",
            "full": f"all {arguments.spans + 1}, anew",
        }
        for name, label in runs.items():
            if name == "next":
                write_span(
                    arguments.data,
                    arguments.spans + 1,
                    arguments.rows,
                    root / str(arguments.spans + 1),
                )
            work = Path(folder, "full" if name == "full" else "work")
            command = [sys.executable, __file__, "--measure", str(root), str(work), name]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[name] = row = json.loads(done.stdout.splitlines()[-1])
            by_stage = ", ".join(map(str, row["cpu_by_stage"].values()))
            print(
                f"{label:<20} {row['spans_read']:>10} {row['cpu_seconds']:>8.1f}"
                f" {row['wall_seconds']:>8.1f}  {by_stage}",
                flush=True,
            )
    ratio = results["full"]["cpu_seconds"] / results["next"]["cpu_seconds"]
    same = results["full"]["digests"] == results["next"]["digests"]
    print(
        f"{ratio:.1f}x less CPU for the new span;"
        f" {'the same bytes' if same else 'NOT the same bytes'}"
    )
    print(
        json.dumps(
            {
                "rows_a_span": arguments.rows,
                "cpu_ratio": round(ratio, 2),
                "same_bytes": same,
                **results,
            }
        )
    )


if __name__ == "__main__":
    main()
