"""The manifests of deploy/."""

from typing import Any

import yaml

from tests.support import CHECKOUT


def documents(name: str) -> list[dict[str, Any]]:
    """The documents of deploy/<name>.yaml."""
    return list(yaml.safe_load_all((CHECKOUT / "deploy" / f"{name}.yaml").read_text()))


def document(name: str, kind: str) -> dict[str, Any]:
    """The only document of a kind."""
    (content,) = [content for content in documents(name) if content["kind"] == kind]
    return content
