import json

import pytest

from components.trainer.distributed import cluster
from components.trainer.distributed.cluster import Cluster
from seqline.errors import UserError

TWO = {"worker": ["localhost:1", "localhost:2"]}


def written(cluster: object, job: str = "worker", index: int | str = 0) -> str:
    """A TF_CONFIG."""
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "TF_CONFIG is not JSON"),
        ("[" * 100_000, "TF_CONFIG is not JSON"),
        (written(TWO, index="\N{SUPERSCRIPT TWO}"), "says that this is worker \N{SUPERSCRIPT TWO}"),
        (written(TWO, index="1" * 5000), "says that this is worker 111"),
        (written({"worker": ["a:" + "1" * 5000]}), "which is not host:port"),
        ("[]", 'has no table "cluster"'),
        ('{"task": {"type": "worker", "index": 0}}', 'has no table "cluster"'),
        (json.dumps({"cluster": TWO}), 'has no "task" with a type and an index'),
        (
            written(TWO, index=2),
            "says that this is worker 2, and the cluster has worker 0, worker 1",
        ),
        (
            written({"worker": ["a:1", "b"]}),
            "has 'b' in cluster.worker, which is not host:port",
        ),
        (written({"worker": "a:1"}), "has no list of addresses in cluster.worker"),
        (written({"worker": ["a:1", "a:1"]}), "names a:1 twice"),
        (
            written({**TWO, "ps": ["c:1"]}),
            "names the job 'ps': seqline has no parameter servers: its workers hold the weights",
        ),
        (
            written({"master": ["c:1"], **TWO}, job="master"),
            "names the job 'master': that is TensorFlow 1's name of the chief. Call the job",
        ),
        (written(TWO, job="ps"), "names the job 'ps'"),
        (written({**TWO, "tpu": ["c:1"]}), "names the job 'tpu'"),
        (written({**TWO, "evaluator": ["localhost:1"]}), "names localhost:1 twice"),
        (written({"evaluator": ["e:1"]}, job="evaluator"), "names neither a chief nor a worker"),
        (written(TWO, job="evaluator", index=1), "says that this is evaluator 1"),
        (
            json.dumps({"cluster": TWO, "task": {"type": ["worker"], "index": 0}}),
            "says that this is ['worker'] 0",
        ),
        (written({**TWO, "chief": ["c:1", "d:1"]}), "names more than one chief"),
    ],
)
def test_a_malformed_tf_config_is_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"^TF_CONFIG ") as raised:
        cluster.read({"TF_CONFIG": text})
    assert message in str(raised.value)


def test_tf_config() -> None:
    for text in ("", "{}", written({"worker": ["a:1"]}), written({"worker": ["a:1"], "ps": []})):
        assert cluster.read({"TF_CONFIG": text}) is None
        assert not cluster.is_evaluator({"TF_CONFIG": text})
    second = cluster.read({"TF_CONFIG": written(TWO, index="1")})
    assert second == Cluster((("worker", 0, "localhost:1"), ("worker", 1, "localhost:2")), 1)
    assert not second.is_chief
    assert second.name(1) == "worker 1 (localhost:2)"
    assert second.address(0) == ("localhost", 1)
    led = cluster.read({"TF_CONFIG": written({**TWO, "chief": ["c:3"]}, job="chief")})
    assert led is not None
    assert led.is_chief
    assert led.others == (1, 2)
    assert led.name(2) == "worker 1 (localhost:2)"


def test_an_evaluator_is_a_task_and_not_a_member() -> None:
    for jobs in (TWO, {**TWO, "evaluator": ["e:1"]}, {"chief": ["c:1"]}):
        text = written(jobs, job="evaluator", index="0")
        assert cluster.is_evaluator({"TF_CONFIG": text})
        with pytest.raises(UserError, match="says that this is evaluator 0, which does not train"):
            cluster.read({"TF_CONFIG": text})

    led = cluster.read({"TF_CONFIG": written({**TWO, "evaluator": ["e:1"]})})
    assert led is not None
    assert len(led.members) == 2
