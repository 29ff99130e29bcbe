import json

import pytest

from components.trainer.distributed import cluster, job
from seqline.errors import UserError

TWO = {
    "SEQLINE_NUM_WORKERS": "2",
    "SEQLINE_WORKER_ADDRESS": "train-workers-0-{index}.train:2222",
    "JOB_COMPLETION_INDEX": "1",
}


def test_tf_config_of_an_indexed_job() -> None:
    environment = dict(TWO)
    job.set_tf_config(environment)
    assert json.loads(environment["TF_CONFIG"]) == {
        "cluster": {"worker": ["train-workers-0-0.train:2222", "train-workers-0-1.train:2222"]},
        "task": {"type": "worker", "index": 1},
    }
    second = cluster.read(environment)
    assert second is not None
    assert second.name(second.number) == "worker 1 (train-workers-0-1.train:2222)"


def test_one_worker_trains_alone_and_other_jobs_set_nothing() -> None:
    alone = {**TWO, "SEQLINE_NUM_WORKERS": "1", "JOB_COMPLETION_INDEX": "0"}
    job.set_tf_config(alone)
    assert cluster.read(alone) is None

    # Another Indexed Job, such as one with a data set in each pod.
    for other in ({"JOB_COMPLETION_INDEX": "3"}, {"TF_CONFIG": "{}"}, {"SEQLINE_NUM_WORKERS": ""}):
        after = dict(other)
        job.set_tf_config(after)
        assert after == other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"SEQLINE_WORKER_ADDRESS": ""}, "NUM_WORKERS is set without SEQLINE_WORKER_ADDRESS"),
        ({"SEQLINE_NUM_WORKERS": ""}, "WORKER_ADDRESS is set without SEQLINE_NUM_WORKERS"),
        ({"TF_CONFIG": '{"cluster": {}}'}, "TF_CONFIG and SEQLINE_NUM_WORKERS are both set"),
        ({"SEQLINE_NUM_WORKERS": "two"}, "'two'. It is the number of workers: a number from 1"),
        ({"SEQLINE_NUM_WORKERS": "0"}, "'0'. It is the number of workers"),
        ({"SEQLINE_NUM_WORKERS": "9" * 5000}, "It is the number of workers"),
        ({"JOB_COMPLETION_INDEX": "2"}, "'2'. It is a number below SEQLINE_NUM_WORKERS: a number"),
        ({"JOB_COMPLETION_INDEX": "-1"}, "'-1'. It is a number below"),
        ({"SEQLINE_WORKER_ADDRESS": "train:2222"}, "which gives all 2 workers one address"),
    ],
)
def test_what_names_no_workers_is_one_clear_error(change: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        job.set_tf_config({**TWO, **change})
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_index_is_needed() -> None:
    environment = {name: value for name, value in TWO.items() if name != "JOB_COMPLETION_INDEX"}
    with pytest.raises(UserError, match="set without JOB_COMPLETION_INDEX, which Kubernetes sets"):
        job.set_tf_config(environment)


def test_an_address_without_a_port_is_named_as_that_of_tf_config() -> None:
    environment = {**TWO, "SEQLINE_WORKER_ADDRESS": "train-{index}"}
    job.set_tf_config(environment)
    with pytest.raises(UserError, match=r"has 'train-0' in cluster\.worker, which"):
        cluster.read(environment)
