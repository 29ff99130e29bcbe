"""Derives the key of a stage's artifact from all that shapes it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.runner.plan import Stage, read_external_digest
from pipeline.store.folder import Store
from pipeline.store.layout import key_parts
from pipeline.store.records import Execution, Source
from seqline.component import Artifact, Figures
from seqline.digests import digest


@dataclass(frozen=True)
class Derivation:
    """A stage's artifact, finished or not, and all that shapes it."""

    stage: Stage
    inputs: Mapping[str, Artifact]
    external_digest: str | None
    parts: dict[str, Any]  # see `key_parts`
    artifact: Artifact

    def execution(
        self, model: str, figures: Figures, started: str, finished: str, seconds: float
    ) -> Execution:
        """The record of the artifact, made for the model of this name."""
        return Execution(
            component=self.stage.name,
            name=model,
            type=self.artifact.type,
            key=self.artifact.key,
            key_parts=self.parts,
            params=self.stage.params.model_dump(mode="json"),
            inputs={
                name: Source(self.stage.inputs[name].name, artifact.key)
                for name, artifact in self.inputs.items()
            },
            figures=figures,
            started=started,
            finished=finished,
            seconds=round(seconds, 3),
        )


def derive(stage: Stage, inputs: Mapping[str, Artifact], store: Store) -> Derivation:
    """Reads the external digest of a stage, and finds its key."""
    keys = {name: artifact.key for name, artifact in inputs.items()}
    external_digest = read_external_digest(stage, store, keys)
    parts = key_parts(stage.component, stage.params, keys, external_digest)

    key = digest(parts)
    artifact = Artifact(stage.component.output, store.path(stage.name, key), key)
    return Derivation(stage, inputs, external_digest, parts, artifact)
