"""Asks a real server about real rows of a candidate, and decides whether it may be pushed.

Reads the SavedModel and, of the Evaluation, the verdict and the first rows of test with the
evaluator's answers (answers.jsonl). Writes blessing.json, the verdict with its reasons and the
digest of the model, and server.log, the output of the server.
"""

import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field

from seqline.component import Component, Figures, NotInKey, Params
from seqline.data.blessing import InfraBlessing
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
            "the server to start with the candidate: `embedded` (seqline serve), the path"
            " of a `tensorflow_model_server`, `docker:<image>`, or `none` to push without"
            " asking a server"
        ),
    )
    num_requests: int = Field(
        200,
        ge=1,
        description=(
            "number of one-row requests, sent one after the other to measure their latency"
        ),
    )
    max_difference: float | None = Field(
        None,
        gt=0,
        description=(
            "the greatest difference of log-odds from the evaluator's; null: the tolerance that "
            "the exporter found"
        ),
    )
    max_p50_seconds: float | None = Field(
        None, gt=0, description="the highest median latency of a request; null: no limit"
    )
    max_p99_seconds: float | None = Field(
        None, gt=0, description="the highest 99th percentile of the latencies; null: no limit"
    )
    max_rss_mb: float | None = Field(
        None,
        gt=0,
        description=(
            "the highest peak of the server's resident memory (MB); null: no limit; Linux only"
        ),
    )
    max_load_seconds: float | None = Field(
        None,
        gt=0,
        description=(
            "the longest time from the start of the server's process until the model is "
            "available; null: no limit"
        ),
    )
    max_model_mb: float | None = Field(
        None, gt=0, description="the greatest size of the SavedModel's files (MB); null: no limit"
    )
    wait_seconds: Annotated[float, NotInKey] = Field(
        120.0,
        gt=0,
        description=(
            "the longest time in seconds that a server may take to start, or to answer a request"
        ),
    )


def check(params: InfraValidatorParams) -> None:
    """Raises UserError for a server that cannot be started, or a limit that cannot be measured."""
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
                f"infra_validator.server {params.server!r}: there is no command docker. "
                f"Install it, {way_out}."
            )
    elif params.server != NONE and not (
        os.path.isfile(params.server) and os.access(params.server, os.X_OK)
    ):
        raise UserError(
            f"infra_validator.server {params.server!r} is not a program. Give the path of a "
            f"tensorflow_model_server, {EMBEDDED!r}, docker:<image>, {way_out}."
        )

    if params.max_rss_mb is not None and (sys.platform != "linux" or params.server == NONE):
        raise UserError(
            f"infra_validator.max_rss_mb {params.max_rss_mb} can only be measured of a server on "
            "Linux. Set it to null."
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

    blessing = InfraBlessing(
        blessed=not reasons,
        refusals=reasons,
        server=params.server,
        asked=measured is not None,
        digest=digest,
    )
    blessing.write(output / INFRA_BLESSING)

    # The gates have values that a clock measured. They are figures, not part of the artifact.
    return {
        **asdict(blessing),
        "num_bytes": num_bytes,
        **(measured or {}),
        "gates": [gate.to_json() for gate in judged],
    }


def stale(output: Path, params: InfraValidatorParams) -> str | None:
    """Has a server asked again after a refusal, since the machine may only have been busy.

    The same for a damaged blessing.
    """
    try:
        blessing = InfraBlessing.read(output / INFRA_BLESSING)
    except UserError as error:
        return str(error).rstrip(".")
    if blessing.asked and not blessing.blessed:
        return "the server refused it the last time"
    return None


def describe(figures: Figures) -> str:
    if figures["refusals"]:
        return "NOT blessed: " + "; ".join(figures["refusals"])
    if not figures["asked"]:
        return "no server was asked (infra_validator.server none)"

    text = (
        f"{figures['server']}: {figures['num_rows']} rows answered as by the evaluator; "
        f"p50 {figures['p50_seconds'] * 1e3:.1f} ms, p99 {figures['p99_seconds'] * 1e3:.1f} ms"
    )
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
