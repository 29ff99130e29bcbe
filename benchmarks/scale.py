"""The cost of a row in every stage, and from it that of 10 GB, 1 TB and 100 TB on Dataflow.

    python -m benchmarks.scale [--dataset agnews_small] [--rows 50000 450000] [--vcpu-hour 0.056]

`seqline run` runs on two sizes of the same data, stage by stage, each in a process of its own. A
row costs what the larger size takes more of, divided by the rows that it has more: imports,
start-up and the size of the model are no part of it. The data are the rows of a JSONL file,
repeated, each with a token of its own, so that the vocabulary grows with the data as it does in
real ones. Prices are options: their defaults are list prices (us-central1, dollars), which change.
Every stage reads by itself here; in a whole run the counts of statistics_gen and transform are made
while example_gen reads, for less.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.common import (
    Table,
    children_cpu_seconds,
    parser,
    print_result,
    read_jsonl,
    seqline,
    settings,
    write_jsonl,
)

STAGES = ("example_gen", "statistics_gen", "transform", "trainer", "exporter", "evaluator")
ON_DATAFLOW = ("example_gen", "statistics_gen", "transform", "evaluator")
SIZES = {"10 GB": 10e9, "1 TB": 1e12, "100 TB": 100e12}
# A vCPU is a hyperthread, half a core, and comes with 3.75 GB (n1-standard). Workers wait for the
# store, for the last one, for more of them.
VCPU_PER_CORE = 2.0
UTILIZATION = 0.6
MEMORY_PER_VCPU = 3.75
SHARD_BYTES = 16 << 20
# Of each of three jobs, before the first row: pool, image, installation.
START_SECONDS = 240


def write_rows(data: Path, num_rows: int, output: Path) -> None:
    rows = read_jsonl(data)
    made = []
    for number in range(num_rows):
        row = rows[number % len(rows)]
        made.append({"text": f"{row['text']} u{number:x}", "label": row["label"]})
    write_jsonl(output, made)


def measure(source: Path, root: Path) -> dict[str, dict[str, float]]:
    """Runs the pipeline stage by stage.

    Returns:
        For each stage CPU seconds of the command that runs it, and the bytes of its artifact and
        of its part of the span cache.
    """
    flags = settings(
        {
            "example_gen.source": json.dumps(str(source)),
            "trainer.num_epochs": 1,
            "evaluator.baseline": "none",
            "transform.vocab_size": 20_000,
        }
    )

    figures = {}
    for stage in STAGES:
        before = children_cpu_seconds()
        seqline("run", "bbc_news", "--root", str(root), *flags, "--to", stage)
        figures[stage] = {
            "cpu": children_cpu_seconds() - before,
            "bytes": size(root / stage),
            "span_cache": size(root / "span_cache" / stage),
        }

    return figures


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def per_row(small: dict, large: dict, more: int) -> dict[str, dict[str, float]]:
    return {
        stage: {name: (large[stage][name] - small[stage][name]) / more for name in large[stage]}
        for stage in STAGES
    }


def project(costs: dict, row_bytes: float, prices: argparse.Namespace) -> list[dict[str, float]]:
    projected = []
    for name, num_bytes in SIZES.items():
        num_rows = num_bytes / row_bytes
        core_hours = sum(costs[stage]["cpu"] for stage in ON_DATAFLOW) * num_rows / 3600
        hours = core_hours * VCPU_PER_CORE / UTILIZATION
        # What was counted is written once, and summed through files: nothing but shard names goes
        # through the shuffle.
        projected.append(
            {
                "size": name,
                "rows": num_rows,
                "shards": num_bytes / SHARD_BYTES,
                "vcpu_hours": hours,
                "hours_on_100_vcpu": hours / 100 + 3 * START_SECONDS / 3600,
                "dollars": hours * (prices.vcpu_hour + MEMORY_PER_VCPU * prices.gb_hour),
                "storage_gb": (
                    sum(costs[stage]["bytes"] + costs[stage]["span_cache"] for stage in STAGES)
                    * num_rows
                    / 1e9
                ),
                "features_gb": costs["transform"]["bytes"] * num_rows / 1e9,
                "counts_gb": costs["transform"]["span_cache"] * num_rows / 1e9,
                "epoch_hours_of_a_core": costs["trainer"]["cpu"] * num_rows / 3600,
            }
        )

    return projected


def main() -> None:
    arguments = parser(__doc__, dataset="agnews_small")
    arguments.add_argument("--rows", type=int, nargs=2, default=[50_000, 450_000])
    arguments.add_argument("--vcpu-hour", type=float, default=0.056)
    arguments.add_argument("--gb-hour", type=float, default=0.003557)
    given = arguments.parse_args()

    data = (given.data / given.dataset / "train.jsonl").resolve()
    runs, num_bytes = [], []

    with tempfile.TemporaryDirectory() as folder:
        for num_rows in given.rows:
            source = Path(folder, f"{num_rows}.jsonl")
            write_rows(data, num_rows, source)
            num_bytes.append(source.stat().st_size)
            runs.append(measure(source, Path(folder, f"root-{num_rows}")))

    more = given.rows[1] - given.rows[0]
    costs, row_bytes = per_row(*runs, more), (num_bytes[1] - num_bytes[0]) / more
    print(f"{row_bytes:.0f} bytes a row")
    table = Table(
        ("stage", "<16"), ("CPU us a row", "12.1f"), ("bytes a row", "12.1f"), ("counted", "9.1f")
    )
    for stage, cost in costs.items():
        table.row(stage, cost["cpu"] * 1e6, cost["bytes"], cost["span_cache"])

    print()
    table = Table(
        ("size", "8"),
        ("rows", "9.1e"),
        ("shards", "9,.0f"),
        ("vCPU h", "9,.1f"),
        ("h on 100", "9,.1f"),
        ("dollars", "9,.0f"),
        ("stored GB", "10,.0f"),
        ("counts GB", "10,.0f"),
        ("epoch core h", "13,.0f"),
    )
    projected = project(costs, row_bytes, given)

    for size_ in projected:
        table.row(
            size_["size"],
            size_["rows"],
            size_["shards"],
            size_["vcpu_hours"],
            size_["hours_on_100_vcpu"],
            size_["dollars"],
            size_["storage_gb"],
            size_["counts_gb"],
            size_["epoch_hours_of_a_core"],
        )

    print_result({"row_bytes": row_bytes, "per_row": costs, "projected": projected})


if __name__ == "__main__":
    main()
