"""Serves a cloud to a shell.

It prints the variables and flags with which a submission reaches it, then what happens, until
Ctrl-C.

    python -m tests.support.fake_cloud [FILE ...]      each FILE becomes gs://bucket/<its name>
"""

import argparse
import shlex
import tempfile
import time
from pathlib import Path

from tests.support import fake_cloud
from tests.support.fake_cloud import BUCKET, FakeCloud

POLL_SECONDS = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.fake_cloud",
        description="Google Cloud on loopback, for trying a submission.",
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help=f"becomes gs://{BUCKET}/<its name>"
    )
    parser.add_argument(
        "--retry-bundles", action="store_true", help="workers do every bundle twice"
    )
    parser.add_argument(
        "--kill-worker",
        type=int,
        metavar="N",
        help="the worker that sends the N-th upload after a job's start dies",
    )

    parser.add_argument(
        "--docker",
        action="store_true",
        help="a job whose image this machine's docker has is executed in a container of it",
    )

    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="fake-cloud-") as folder,
        fake_cloud.serve(Path(folder)) as cloud,
    ):
        for file in given.files:
            cloud.gcs.put(BUCKET, file.name, file.read_bytes())
        cloud.faults.retry_bundles = given.retry_bundles
        cloud.executor.in_docker = given.docker
        if given.kill_worker:
            cloud.faults.add("WORK ", action=lambda: _kill_at(cloud, given.kill_worker))
        print("# In the shell of the submission:")
        for name, value in cloud.environment.items():
            print(f"export {name}={shlex.quote(value)}")
        beams = [flag for flag in cloud.flags if flag.startswith("--dataflow_endpoint")]
        runs = [flag for flag in cloud.flags if flag not in beams]
        print(
            f"# seqline run {' '.join(runs)} --root=gs://{BUCKET}/root ... -- {' '.join(beams)}",
            flush=True,
        )

        try:
            _follow(cloud)
        except KeyboardInterrupt:
            print("\nthe cloud is gone, and all that was in it")


def _kill_at(cloud: FakeCloud, number: int) -> None:
    cloud.faults.add("POST /upload/", action=cloud.executor.kill_workers, after=number - 1)


def _follow(cloud: FakeCloud) -> None:
    """Prints states and messages of jobs as they come."""
    shown: dict[str, tuple[str, int]] = {}
    while True:
        for job in list(cloud.dataflow.jobs):
            (state, number), now = shown.get(job.id, ("", 0)), job.state
            messages = job.messages[number:]
            for message in messages:
                print(f"{job.name}: {message['messageText']}", flush=True)
            if now != state:
                print(f"{job.name}: {now}", flush=True)
            shown[job.id] = now, number + len(messages)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
