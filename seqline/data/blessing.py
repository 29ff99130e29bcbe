"""blessing.json: whether a server answered as the evaluator did. Imports nothing heavy."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from seqline.storage import records


@dataclass(frozen=True, kw_only=True)
class InfraBlessing:
    """The verdict of the infra validator. The file has these keys, in this order.

    Attributes:
        blessed: Whether the model may be served.
        refusals: The reasons of the gates that refuse; none for a blessed model.
        server: The server that was asked, see `infra_validator.server`.
        asked: Whether it was asked.
        digest: The digest of the model's files.
    """

    blessed: bool
    refusals: list[str]
    server: str
    asked: bool
    digest: str

    @classmethod
    def read(cls, path: Path) -> "InfraBlessing":
        """Reads a blessing.json.

        Raises:
            UserError: The file is missing or damaged, or contradicts itself.
        """
        blessing = records.of_artifact(cls, path)
        if blessing.blessed == bool(blessing.refusals):
            problem = f"blessed: it is {str(blessing.blessed).lower()}, with"
            problem += f" {len(blessing.refusals)} refusals"
            raise records.damaged(path, problem, records.MADE_AGAIN)
        return blessing

    def write(self, path: Path) -> None:
        """Writes a blessing.json."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")
