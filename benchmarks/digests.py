"""What digests of artifacts cost: at a commit, in a plan, and when every byte is read.

    python -m benchmarks.digests [--mb 1024] [--shards 1000]

Writes an artifact of random bytes in so many shards into a temporary folder, and commits it. The
last line is one JSON object: seconds of wall time and of CPU for the commit, milliseconds of a look
at an artifact that did not change (the best of five), seconds to read it in full.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import common
from pipeline.store.folder import Store
from pipeline.store.records import Execution
from seqline.component import Artifact

NAME, KEY = "example_gen", "0" * 20


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--mb", type=int, default=1024)
    parser.add_argument("--shards", type=int, default=1000)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=".") as root:
        store = Store(Path(root))
        partial = store.begin(NAME, KEY)
        block = os.urandom((arguments.mb << 20) // arguments.shards)
        for number in range(arguments.shards):
            (partial / f"data_tfrecord-{number:05d}.gz").write_bytes(block)
        time.sleep(0.1)  # as long as a stage takes to end: its files are old enough

        started, cpu = time.perf_counter(), time.process_time()
        artifact = Artifact("Examples", store.path(NAME, KEY), KEY)
        store.commit(partial, artifact, NAME, _record())
        commit_seconds, commit_cpu = time.perf_counter() - started, time.process_time() - cpu

        common.print_result(
            {
                "mb": arguments.mb,
                "shards": arguments.shards,
                "commit_seconds": round(commit_seconds, 2),
                "commit_cpu_seconds": round(commit_cpu, 2),
                "plan_ms": round(1000 * _best(lambda: store.damage(NAME, KEY)), 1),
                "verify_seconds": round(_best(lambda: store.damage(NAME, KEY, in_full=True)), 2),
            }
        )


def _record() -> Execution:
    return Execution(
        component=NAME,
        type="Examples",
        key=KEY,
        key_parts={},
        params={},
        inputs={},
        figures={},
        started="",
        finished="",
        seconds=0.0,
    )


def _best(function: Callable[[], object]) -> float:
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        assert function() is None, "the artifact is whole"
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
