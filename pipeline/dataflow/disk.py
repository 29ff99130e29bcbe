"""Whether a worker's disk holds what seqline puts there, computed from the source's listed sizes.

Imports neither Beam nor numpy; a test compares the constants with the code that they are of.
"""

import logging
import math
from collections.abc import Iterator, Sequence

from components.example_gen import ExampleGenParams
from pipeline.dataflow import capacity
from pipeline.runner.plan import Pipeline
from seqline.errors import UserError
from seqline.storage.objects import is_google

log = logging.getLogger("seqline.dataflow")

GB = 10**9
# What `seqline[gcp]` installs takes 3.8 GB (`du -sm` of site-packages: TensorFlow, Beam and what
# they need), and as much while an image or wheels are unpacked.
PACKAGES_GB = 8
# Tables of counts for a byte of a source: docs/explanation/scale.md measures 226 bytes for a row of
# 234 bytes of JSONL.
TABLES_OF_TEXT = 1.0
# Tables that are summed together lie beside their sum, which is no larger.
AND_THE_SUM = 2
# seqline.data.examples: text of a shard; table_merge: shards whose tables a worker sums together,
# before it sums those of a span in one of so many groups of buckets.
SHARD_BYTES, NUM_IN_RUN, NUM_GROUPS = 16 << 20, 16, 64


def of_disk(pipeline: Pipeline, beam_args: Sequence[str]) -> Iterator[str]:
    """Problems with the workers' disks. One that may be too small for the data is logged.

    May be, because the figure is the most that tables of counts take. A span of compressed files is
    larger than listed, and what cannot be listed is left to the stage that reads it.
    """
    disk = capacity.disk_gb(beam_args)
    has = f"--disk_size_gb={disk}"
    if not capacity.number(beam_args, "disk_size_gb"):
        has = f"the {disk} GB that Dataflow gives by default"
    if disk < PACKAGES_GB:
        yield (
            f"{has} is too small for a worker, whose system and packages alone take {PACKAGES_GB}"
            f" GB: --disk_size_gb={capacity.DEFAULT_DISK_GB} or more, or leave it out"
        )
        return

    machine = capacity.machine_type(beam_args)
    num_processes = capacity.cores(machine)
    for stage in pipeline.stages:
        if not isinstance(stage.params, ExampleGenParams):
            continue
        num_bytes = largest_span(stage.params)
        needed = needed_gb(num_bytes, num_processes)
        if needed > disk:
            log.warning(
                "Dataflow: a worker may need %d GB of disk, more than %s: %d for its packages, the"
                " rest to sum counts of the largest span of example_gen.source, %s GB, on %d CPU%s"
                " (%s); set --disk_size_gb=%d",
                needed,
                has,
                PACKAGES_GB,
                f"{num_bytes / GB:,.0f}",
                num_processes,
                "s" * (num_processes > 1),
                machine,
                needed,
            )


def needed_gb(span_bytes: int, num_processes: int) -> int:
    """The most GB that a worker fills.

    Args:
        span_bytes: Of the source's files, of the largest span.
        num_processes: Of the worker, one a CPU. Each has a shard of Examples, then the tables of a
            run of shards or of a group of buckets, and their sum.
    """
    summed = TABLES_OF_TEXT * max(NUM_IN_RUN * SHARD_BYTES, span_bytes / NUM_GROUPS)
    return PACKAGES_GB + math.ceil(num_processes * (SHARD_BYTES + AND_THE_SUM * summed) / GB)


def largest_span(params: ExampleGenParams) -> int:
    """The bytes of the largest span of the window as its bucket lists them; 0 if it does not."""
    from components.example_gen import splits

    sources = [params.source] if isinstance(params.source, str) else list(params.source.values())
    if not all(map(is_google, sources)):
        return 0
    try:
        spans = splits.find(params)
    except UserError:  # The stage says it.
        return 0
    return max(sum(file.size for file in span.files) for span in spans)
