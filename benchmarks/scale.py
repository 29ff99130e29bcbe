"""What a row costs in every stage, and what follows for 10 GB, 1 TB and 100 TB of text on Dataflow.

    python benchmarks/scale.py [--data ../shared/data/agnews_small/train.jsonl] [--rows 50000
    450000] [--vcpu-hour 0.056] ...

`seqline run` runs on two sizes of the same data, stage by stage, each in a process of its own. A
row costs what the larger size takes more of, divided by the rows that it has more: imports,
start-up and the size of the model are no part of it. The data are the rows of a JSONL file,
repeated, each with a token of its own, so that the vocabulary grows with the data as it does in
real ones. Prices are options: their defaults are list prices (us-central1, dollars), which change.
Every stage reads by itself here; in a whole run the counts of statistics_gen and transform are made
while example_gen reads, for less. The last line is one JSON object.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

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
    with data.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    with output.open("w", encoding="utf-8") as file:
        for number in range(num_rows):
            row = rows[number % len(rows)]
            file.write(
                json.dumps(
                    {"text": f"{row['text']} u{number:x}", "label": row["label"]},
                    ensure_ascii=False,
                )
                + "\n"
            )


def measure(source: Path, root: Path) -> dict[str, dict[str, float]]:
    """stage -> CPU seconds and peak MB of the command that runs it, bytes of its artifact and of
    what it counted on the way.
    """
    found = {}
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        "bbc_news",
        "--root",
        str(root),
        "--set",
        f"example_gen.source={json.dumps(str(source))}",
    ]
    command += [
        "--set",
        "trainer.num_epochs=1",
        "--set",
        "evaluator.baseline=none",
        "--set",
        "transform.vocab_size=20000",
    ]
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    for stage in STAGES:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, "--to", stage], check=True, stdout=sys.stderr, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found[stage] = {
            "cpu": cpu,
            "bytes": size(root / stage),
            "span_cache": size(root / "span_cache" / stage),
        }
    return found


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def per_row(small: dict, large: dict, more: int) -> dict[str, dict[str, float]]:
    return {
        stage: {name: (large[stage][name] - small[stage][name]) / more for name in large[stage]}
        for stage in STAGES
    }


def project(costs: dict, row_bytes: float, prices: argparse.Namespace) -> list[dict[str, float]]:
    found = []
    for name, num_bytes in SIZES.items():
        num_rows = num_bytes / row_bytes
        core_hours = sum(costs[stage]["cpu"] for stage in ON_DATAFLOW) * num_rows / 3600
        hours = core_hours * VCPU_PER_CORE / UTILIZATION
        # What was counted is written once, and summed through files: nothing but shard names goes
        # through the shuffle.
        found.append(
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
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/agnews_small/train.jsonl")
    )
    parser.add_argument("--rows", type=int, nargs=2, default=[50_000, 450_000])
    parser.add_argument("--vcpu-hour", type=float, default=0.056)
    parser.add_argument("--gb-hour", type=float, default=0.003557)
    options = parser.parse_args()
    runs, num_bytes = [], []
    with tempfile.TemporaryDirectory() as name:
        for rows in options.rows:
            source = Path(name, f"{rows}.jsonl")
            write_rows(options.data.resolve(), rows, source)
            num_bytes.append(source.stat().st_size)
            runs.append(measure(source, Path(name, f"root-{rows}")))
    more = options.rows[1] - options.rows[0]
    costs, row_bytes = per_row(*runs, more), (num_bytes[1] - num_bytes[0]) / more
    print(
        f"{row_bytes:.0f} bytes a row\n{'stage':16} {'CPU us a row':>12} {'bytes a row':>12}"
        f" {'counted':>9}"
    )
    for stage, cost in costs.items():
        print(
            f"{stage:16} {cost['cpu'] * 1e6:12.1f} {cost['bytes']:12.1f} {cost['span_cache']:9.1f}"
        )
    projected = project(costs, row_bytes, options)
    print(
        f"\n{'size':>8} {'rows':>9} {'shards':>9} {'vCPU h':>9} {'h on 100':>9} {'dollars':>9}"
        f" {'stored GB':>10} {'counts GB':>10} {'epoch core h':>13}"
    )
    for each in projected:
        print(
            f"{each['size']:>8} {each['rows']:9.1e} {each['shards']:9,.0f}"
            f" {each['vcpu_hours']:9,.1f} {each['hours_on_100_vcpu']:9,.1f} {each['dollars']:9,.0f}"
            f" {each['storage_gb']:10,.0f} {each['counts_gb']:10,.0f}"
            f" {each['epoch_hours_of_a_core']:13,.0f}"
        )
    print(json.dumps({"row_bytes": row_bytes, "per_row": costs, "projected": projected}))


if __name__ == "__main__":
    main()
