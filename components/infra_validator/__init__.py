"""Starts the server that will serve on the candidate, sends it real rows, and decides whether it
may be pushed.

Reads SavedModel and Evaluation: the first rows of test with the evaluator's answers
(answers.jsonl). Writes blessing.json: the verdict with its reasons and the digest of the model it
is about; and server.log: what the server printed.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seqline.component import Component, Figures, NotInKey, Params
from seqline.data.evaluation import Evaluation
from seqline.data.features import EVALUATION, INFRA_BLESSING, SAVED_MODEL
from seqline.errors import UserError
from seqline.gates import Gate, refusals
from seqline.host import packages
from seqline.model.digest import digest_of, sha256_of_files

EMBEDDED, DOCKER, NONE = "embedded", "docker:", "none"


class InfraValidatorParams(Params):
    server: str = Field(
        EMBEDDED,
        description=(
            "what is started on the candidate: `embedded` (seqline serve), the path of a"
            " `tensorflow_model_server`, `docker:<image>`, or `none` to push unasked"
        ),
    )
    num_requests: int = Field(
        200, ge=1, description="requests of one row whose latency is measured, one after the other"
    )
    max_difference: float | None = Field(
        None,
        gt=0,
        description=(
            "how far the log-odds of two classes may be from the evaluator's; null for the"
            " tolerance that the exporter found"
        ),
    )
    max_p50_seconds: float | None = Field(
        None, gt=0, description="median latency of a request, at most; null for no limit"
    )
    max_p99_seconds: float | None = Field(
        None, gt=0, description="99th percentile of the latencies, at most; null for no limit"
    )
    max_rss_mb: float | None = Field(
        None,
        gt=0,
        description=(
            "the server's peak resident memory (MB), at most; null for no limit; Linux only"
        ),
    )
    max_load_seconds: float | None = Field(
        None,
        gt=0,
        description=(
            "seconds from the start of the server's process until the model is available, at most;"
            " null for no limit"
        ),
    )
    max_model_mb: float | None = Field(
        None, gt=0, description="size of the SavedModel's files (MB), at most; null for no limit"
    )
    wait_seconds: Annotated[float, NotInKey] = Field(
        120.0, gt=0, description="how long a server may take to start, or to answer a request"
    )


def check(params: InfraValidatorParams) -> None:
    """Raises UserError for a server that cannot be started, or a limit that cannot be measured
    here.
    """
    way_out = "or push without asking a server: --set infra_validator.server=none"
    if params.server == EMBEDDED:
        others = f", name the path of a tensorflow_model_server, {way_out}."
        packages.need(f"infra_validator.server {EMBEDDED!r}", packages.SERVER, others)
    elif params.server.startswith(DOCKER):
        if not params.server.removeprefix(DOCKER):
            raise UserError(
                f"infra_validator.server {params.server!r} names no image, such as"
                " docker:tensorflow/serving:2.19.1."
            )
        if shutil.which("docker") is None:
            raise UserError(
                f"infra_validator.server {params.server!r}: there is no command docker. Install it,"
                f" {way_out}."
            )
    elif params.server != NONE and not (
        os.path.isfile(params.server) and os.access(params.server, os.X_OK)
    ):
        raise UserError(
            f"infra_validator.server {params.server!r} is no program. Give the path of a"
            f" tensorflow_model_server, {EMBEDDED!r}, docker:<image>, {way_out}."
        )
    if params.max_rss_mb is not None and (sys.platform != "linux" or params.server == NONE):
        raise UserError(
            f"infra_validator.max_rss_mb {params.max_rss_mb} can only be measured of a server on"
            " Linux. Set it to null."
        )


def run(
    *, saved_model: Path, evaluation: Path, params: InfraValidatorParams, output: Path
) -> Figures:
    """Writes the blessing.

    A refused model is a result, not an error: the pusher will not push it.
    """
    from components.infra_validator import gates

    model = saved_model / SAVED_MODEL
    digest = digest_of(sha256_of_files(model))
    num_bytes = sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    measured = None
    judged = [gates.size(num_bytes, params)]
    if not Evaluation.read(evaluation / EVALUATION).blessed:
        reason = "the evaluation refused it, and no server was asked"
        judged.append(Gate.not_judged("server", reason, threshold=params.max_difference))
        reasons = [reason]
    elif params.server == NONE:
        reason = "no server was asked (infra_validator.server none)"
        judged.append(Gate.not_judged("server", reason, threshold=params.max_difference))
        reasons = refusals(judged)
    else:
        from components.infra_validator import validation

        live, measured = validation.validate(model, evaluation, params, output)
        judged += live
        reasons = refusals(judged)

    blessing = {
        "blessed": not reasons,
        "refusals": reasons,
        "server": params.server,
        "asked": measured is not None,
        "digest": digest,
    }
    (output / INFRA_BLESSING).write_text(json.dumps(blessing, indent=2) + "\n")
    # The gates have values that a clock measured. They are figures, not part of the artifact.
    return {
        **blessing,
        "num_bytes": num_bytes,
        **(measured or {}),
        "gates": [gate.to_json() for gate in judged],
    }


def stale(output: Path, params: InfraValidatorParams) -> str | None:
    """Asks again after a refusal.

    A machine that was busy, or a server that was missing, says nothing for ever.
    """
    blessing = json.loads((output / INFRA_BLESSING).read_text())
    return (
        "the server refused it the last time"
        if blessing["asked"] and not blessing["blessed"]
        else None
    )


def describe(figures: Figures) -> str:
    if figures["refusals"]:
        return "NOT blessed: " + "; ".join(figures["refusals"])
    if not figures["asked"]:
        return "no server was asked (infra_validator.server none)"
    text = (
        f"{figures['server']}: {figures['num_rows']} rows answered as by the evaluator; p50"
        f" {figures['p50_seconds'] * 1e3:.1f} ms"
    )
    text += f", p99 {figures['p99_seconds'] * 1e3:.1f} ms"
    if figures["rss_mb"] is not None:
        text += f", {figures['rss_mb']:.0f} MB"
    return text + f", loaded in {figures['load_seconds']:.1f} s; blessed"


INFRA_VALIDATOR = Component(
    name="infra_validator",
    inputs={"saved_model": "SavedModel", "evaluation": "Evaluation"},
    output="InfraBlessing",
    params=InfraValidatorParams,
    run=run,
    describe=describe,
    check=check,
    stale=stale,
    libraries=("tensorflow",),
)
