"""The infra validator with the embedded server, started as the pipeline starts it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.infra_validator import (
    InfraValidatorParams,
    describe,
    gates,
    stale,
)
from components.pusher import PusherParams
from components.pusher import run as run_pusher
from pipeline.store.layout import artifact_digest
from seqline.errors import NotBlessedError
from seqline.gates import refusals
from tests.components.infra_validator.support import evaluated, servers_on, validate
from tests.support.evaluations import write_evaluation
from tests.support.models import fake_model


@pytest.fixture(scope="module")
def validated(
    saved_model: Path, evaluation: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    output = tmp_path_factory.mktemp("validated") / "output"
    return output, *validate(
        saved_model,
        evaluation,
        output,
        num_requests=20,
        max_rss_mb=20_000.0,
        max_load_seconds=100.0,
    )


def test_a_good_model_is_blessed_and_measured(
    validated: tuple[Path, dict[str, Any], dict[str, Any]], evaluation: Path
) -> None:
    output, figures, blessing = validated
    assert {name: blessing[name] for name in ("blessed", "refusals", "server", "asked")} == {
        "blessed": True,
        "refusals": [],
        "server": "embedded",
        "asked": True,
    }

    num_test = json.loads((evaluation / "evaluation.json").read_text())["num_rows"]
    assert (figures["num_rows"], figures["num_requests"]) == (min(num_test, 64), 20)
    assert 0 <= figures["difference"] <= 1e-6
    assert 0 < figures["p50_seconds"] <= figures["p99_seconds"] < figures["load_seconds"]
    assert 50 < figures["rss_mb"] < 20_000
    assert {gate["name"]: gate["passed"] for gate in figures["gates"]} == {
        "size": None,
        "server": True,
        "median_latency": None,
        "latency": None,
        "memory": True,
        "load_time": True,
    }
    assert describe(figures).endswith(f"loaded in {figures['load_seconds']:.1f} s; blessed")
    assert stale(output, InfraValidatorParams()) is None
    assert servers_on(output) == []


def test_what_was_measured_is_no_part_of_the_artifact(
    validated: tuple[Path, dict[str, Any], dict[str, Any]], tmp_path: Path
) -> None:
    output, _, blessing = validated
    assert sorted(path.name for path in output.iterdir()) == ["blessing.json", "server.log"]
    before = artifact_digest(output)
    copy = shutil.copytree(output, tmp_path / "copy")
    (copy / "server.log").write_text("another day")
    assert artifact_digest(copy) == before
    assert set(blessing) == {"blessed", "refusals", "server", "asked", "digest"}


def test_a_model_that_changed_after_the_evaluation_is_refused_and_not_pushed(
    tmp_path: Path,
) -> None:
    _, evaluation = evaluated("tokens", tmp_path)
    fake_model(tmp_path / "other", "tokens", sure=0.7501)
    figures, blessing = validate(
        tmp_path / "other", evaluation, tmp_path / "output", num_requests=1, max_p50_seconds=1e-9
    )

    wrong, slow = blessing["refusals"]
    assert re.fullmatch(
        r"row 1 of test: the server gives class \d the probability 0\.\d+, the evaluator got"
        r" 0\.\d5: log-odds 5\.3e-04 apart, more than 0\.0001: the "
        r"model's model\.json names no tolerance\. Rounding does not explain it: the server"
        r" computes another model than was evaluated, or its numbers "
        r"are not float32\. If such answers will do, --set infra_validator\.max_difference=1e-03",
        wrong,
    )

    # log(0.7501 / 0.2499) - log(3)
    assert figures["difference"] == pytest.approx(5.334e-4, abs=1e-6)
    assert re.fullmatch(r"median latency \S+ s is over max_p50_seconds 1e-09", slow)
    assert describe(figures).startswith("NOT blessed: row 1 of test")
    assert (
        stale(tmp_path / "output", InfraValidatorParams()) == "the server refused it the last time"
    )

    params = PusherParams(serving_dir=str(tmp_path / "served"))
    with pytest.raises(
        NotBlessedError, match="was not pushed: row 1 of test: the server gives class"
    ) as raised:
        run_pusher(
            saved_model=tmp_path / "other",
            evaluation=evaluation,
            infra_blessing=tmp_path / "output",
            params=params,
            output=tmp_path,
        )

    assert raised.value.exit_code == 30
    assert not (tmp_path / "served").exists()


MEASURED = {"p50_seconds": 0.002, "p99_seconds": 0.01, "rss_mb": 512.25, "load_seconds": 6.5}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, []),
        (
            {
                "max_p50_seconds": 0.002,
                "max_p99_seconds": 0.01,
                "max_rss_mb": 512.25,
                "max_load_seconds": 6.5,
            },
            [],
        ),
        ({"max_p50_seconds": 0.001}, ["median latency 0.002 s is over max_p50_seconds 0.001"]),
        (
            {"max_p99_seconds": 0.009},
            ["99th percentile of the latency 0.01 s is over max_p99_seconds 0.009"],
        ),
        ({"max_rss_mb": 512.0}, ["peak memory 512.2 MB is over max_rss_mb 512"]),
        ({"max_load_seconds": 1.0}, ["time to load 6.5 s is over max_load_seconds 1"]),
    ],
)
def test_every_limit_refuses(limits: dict[str, float], expected: list[str]) -> None:
    assert refusals(gates.limits(MEASURED, InfraValidatorParams(**limits))) == expected


def test_memory_that_cannot_be_measured_is_not_under_a_limit() -> None:
    params = InfraValidatorParams(max_rss_mb=1.0)
    assert refusals(gates.limits(MEASURED | {"rss_mb": None}, params)) == [
        "peak memory could not be measured; set max_rss_mb to null"
    ]


def test_nothing_is_asked_without_a_server_or_after_a_refusal(
    saved_model: Path, evaluation: Path, tmp_path: Path
) -> None:
    figures, blessing = validate(saved_model, evaluation, tmp_path / "none", server="none")
    assert (blessing["blessed"], blessing["asked"]) == (True, False)
    assert describe(figures) == "no server was asked (infra_validator.server none)"

    figures, blessing = validate(
        saved_model, evaluation, tmp_path / "large", server="none", max_model_mb=0.001
    )
    assert blessing["refusals"] == [
        f"size of the model {figures['num_bytes'] / 1e6:.4g} MB is over max_model_mb 0.001"
    ]

    write_evaluation(tmp_path, ["accuracy 0.1 is under min_accuracy 0.5"])
    figures, blessing = validate(saved_model, tmp_path, tmp_path / "refused")
    assert (blessing["blessed"], blessing["asked"]) == (False, False)
    assert describe(figures) == "NOT blessed: the evaluation refused it, and no server was asked"
    assert stale(tmp_path / "refused", InfraValidatorParams()) is None
