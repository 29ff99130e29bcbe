"""TF_CONFIG from what Kubernetes tells the pods of an Indexed Job, alone or in a JobSet.

    SEQLINE_NUM_WORKERS=2
    SEQLINE_WORKER_ADDRESS=train-workers-0-{index}.train:2222
    JOB_COMPLETION_INDEX=1        which Kubernetes sets

Imports nothing heavy.
"""

import json
import os
import re
from collections.abc import MutableMapping

from components.trainer.distributed import cluster
from seqline.errors import UserError

NUM_WORKERS = "SEQLINE_NUM_WORKERS"
ADDRESS = "SEQLINE_WORKER_ADDRESS"
INDEX = "JOB_COMPLETION_INDEX"
PLACE = "{index}"
# Far more than would train together, so that a slip is not a list of a billion addresses.
MOST = 10_000


def set_tf_config(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sets TF_CONFIG if the environment names the workers of a job; else it stays as it is.

    Raises:
        UserError: The variables contradict each other, or do not name the workers.
    """
    given = [name for name in (NUM_WORKERS, ADDRESS) if environment.get(name)]
    if not given:
        return
    if len(given) == 1:
        missing = ADDRESS if given == [NUM_WORKERS] else NUM_WORKERS
        raise UserError(f"{given[0]} is set without {missing}. Set both, or neither.")
    if environment.get(cluster.VARIABLE, "").strip():
        raise UserError(
            f"{cluster.VARIABLE} and {NUM_WORKERS} are both set, and each names the workers. Unset"
            " one of them."
        )

    num_workers = _number(environment, NUM_WORKERS, 1, MOST, "the number of workers")
    if INDEX not in environment:
        raise UserError(
            f"{NUM_WORKERS} is set without {INDEX}, which Kubernetes sets in the pods of a job with"
            f" completionMode: Indexed. Set it to this worker's number, from 0, or unset"
            f" {NUM_WORKERS}."
        )
    index = _number(environment, INDEX, 0, num_workers - 1, f"a number below {NUM_WORKERS}")

    template = environment[ADDRESS]
    if num_workers > 1 and PLACE not in template:
        raise UserError(
            f"{ADDRESS} is {template!r}, which gives all {num_workers} workers one address. Write"
            f" {PLACE} where the worker's number belongs: train-workers-0-{PLACE}.train:2222."
        )

    addresses = [template.replace(PLACE, str(number)) for number in range(num_workers)]
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    environment[cluster.VARIABLE] = json.dumps(config)


def _number(
    environment: MutableMapping[str, str], name: str, least: int, most: int, meaning: str
) -> int:
    text = environment[name].strip()
    if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
        raise UserError(f"{name} is {text!r}. It is {meaning}: a number from {least} to {most}.")
    return int(text)
