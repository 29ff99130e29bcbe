"""Every fault of the fake cloud: the artifact must be that of a run without a fault.

    python -m tests.soak.faults [--rows 2000]

A Dataflow job of example_gen with the counts of the vocabulary is submitted to the fake cloud by
the unmodified DataflowRunner, once for each fault. Its Examples and counts are compared byte by
byte with those of the local runner. Where the job fails, the same job is submitted again, as the
next run would.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.support import fake_cloud
from tests.support.corpus import corpus_rows, write_jsonl
from tests.support.fake_cloud import FakeCloud
from tests.support.fake_cloud.dataflow import Job

ROOT = "gs://bucket/root"
UPLOAD = "POST /upload/storage/v1/b/bucket/"


def no_fault(cloud: FakeCloud) -> None:
    """Adds no fault: this job, too, is compared with the local runner's."""


def bundles_twice(cloud: FakeCloud) -> None:
    cloud.faults.retry_bundles = True


def worker_killed(cloud: FakeCloud, after: int, times: int = 1) -> None:
    cloud.faults.add(UPLOAD, action=cloud.executor.kill_workers, after=after, times=times)


def killed_at_the_start(cloud: FakeCloud, times: int) -> None:
    cloud.faults.add("GET /download/.*rows.jsonl", action=cloud.executor.kill_workers, times=times)


def refused(cloud: FakeCloud, request: str, times: int) -> None:
    cloud.faults.add(request, status=503, times=times, after=1)


def slow(cloud: FakeCloud, request: str) -> None:
    cloud.faults.add(request, seconds=3, times=2)


def cancelled(cloud: FakeCloud) -> None:
    cloud.faults.add("WORK ", action=lambda: cloud.dataflow.cancel(cloud.dataflow.jobs[-1]))


def all_of_it(cloud: FakeCloud) -> None:
    bundles_twice(cloud)
    worker_killed(cloud, after=1)
    refused(cloud, UPLOAD, times=2)


FAULTS: dict[str, Callable[[FakeCloud], None]] = {
    "none": no_fault,
    "every bundle twice": bundles_twice,
    "a worker killed at its first upload": partial(worker_killed, after=0),
    "a worker killed at its third upload": partial(worker_killed, after=2),
    "killed three times": partial(killed_at_the_start, times=3),
    "killed four times": partial(killed_at_the_start, times=4),
    "an upload refused, 503, three times": partial(refused, request=UPLOAD, times=3),
    "a download refused, 503, three times": partial(refused, request="GET /download/", times=3),
    "staging refused, 503, twice": partial(
        refused, request="POST /upload/storage/v1/b/staging/", times=2
    ),
    "Dataflow's API refused, 503, five times": partial(
        refused, request="GET /v1b3/.*/jobs/", times=5
    ),
    "uploads three seconds late": partial(slow, request=UPLOAD),
    "all of it: twice, killed, refused": all_of_it,
    "cancelled from outside": cancelled,
}


def contents(place: str) -> dict[str, bytes]:
    from seqline.storage.files import is_remote
    from seqline.storage.staging import path_of

    folder = path_of(place)
    files = [path for path in folder.rglob("*") if is_remote(place) or path.is_file()]
    # The mark of a whole part stands for the rename that a bucket does not have.
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != "whole"
    }


def make(output: str, span_cache: str, beam_args: tuple[str, ...]) -> None:
    from components.example_gen import ExampleGenParams, run
    from components.transform import TransformParams, analyze
    from seqline.data.span_cache import SpanCache
    from seqline.storage.staging import path_of

    counting = partial(
        analyze, params=TransformParams(), span_cache=SpanCache(path_of(span_cache), owner="key")
    )
    run(
        params=ExampleGenParams(source="gs://bucket/rows.jsonl"),
        output=path_of(output),
        analyses={"transform": counting},
        beam_args=beam_args,
    )


def run_with(
    fault: Callable[[FakeCloud], None], number: int, cloud: FakeCloud
) -> tuple[Job, int, tuple[dict[str, bytes], dict[str, bytes]]]:
    """Submits the job under a fault, and once more if it fails.

    Returns:
        The first job, how often it was submitted again, and (Examples, counts).
    """
    from seqline.errors import UserError
    from seqline.jobs.dataflow import job_flags

    cloud.faults.requests.clear()
    cloud.faults.retry_bundles = False
    fault(cloud)
    place = f"{ROOT}/{number}"
    flags = job_flags(
        [*cloud.flags, "--temp_location=gs://staging/temp"], "example_gen", f"k{number}", ROOT
    )
    num_before, again = len(cloud.dataflow.jobs), 0

    try:
        make(f"{place}/examples", f"{place}/span_cache", flags)
    except UserError as error:
        print(f"  {error}", file=sys.stderr)
        again = 1
        make(f"{place}/examples", f"{place}/span_cache", flags)

    job = cloud.dataflow.jobs[num_before]
    return job, again, (contents(f"{place}/examples"), contents(f"{place}/span_cache"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2000)
    options = parser.parse_args()

    outcomes = []
    with tempfile.TemporaryDirectory() as name, fake_cloud.serve(Path(name)) as cloud:
        os.environ.update(cloud.environment | {"SEQLINE_CACHE": f"{name}/cache"})
        rows = write_jsonl(Path(name, "rows.jsonl"), corpus_rows(options.rows))
        cloud.gcs.put("bucket", "rows.jsonl", rows.read_bytes())
        cloud.gcs.buckets["staging"] = {}
        Path(name, "local").mkdir()
        make(f"{name}/local", f"{name}/span_cache", ())
        expected = contents(f"{name}/local"), contents(f"{name}/span_cache")
        print(f"{'fault':42} {'job':12} {'attempts':>8} {'again':>6} {'seconds':>8}  same bytes")

        for number, (description, fault) in enumerate(FAULTS.items()):
            started = time.monotonic()
            job, again, written = run_with(fault, number, cloud)
            seconds, same = time.monotonic() - started, written == expected
            state = job.state.removeprefix("JOB_STATE_").lower()
            outcomes.append(
                {
                    "fault": description,
                    "job": state,
                    "attempts": job.attempts,
                    "again": again,
                    "same": same,
                }
            )
            print(
                f"{description:42} {state:12} {job.attempts:8} {again:6} {seconds:8.1f}  {same}",
                flush=True,
            )

    all_same = all(outcome["same"] for outcome in outcomes)
    print(json.dumps({"faults": outcomes, "all_same": all_same}))
    sys.exit(0 if all_same else 1)


if __name__ == "__main__":
    main()
