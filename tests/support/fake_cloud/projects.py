"""What Google's services say about a project: rights, accounts, policies, repositories, quotas.

Of the REST APIs of cloudresourcemanager (v1), iam (v1), artifactregistry (v1) and compute (v1) it
has the questions that the preflight asks.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.fake_cloud import credentials
from tests.support.fake_cloud.server import Reply, error

WORKERS = "123456-compute@developer.gserviceaccount.com"
PROJECT = r"/v1/projects/(?P<project>[^/:]+)"
REPOSITORY = rf"{PROJECT}/locations/(?P<location>[^/]+)/repositories/(?P<name>[^/:]+)"

REGION = r"/compute/v1/projects/[^/]+/regions/(?P<region>[^/]+)"


@dataclass
class FakeProjects:
    """A project.

    Attributes:
        lacks: permissions that the submitter has not in the project.
        accounts: service account -> whether the submitter may act as it.
        policy: role -> its members, of the project.
        repositories: "<project>/<location>/<name>" -> (role -> members).
        quotas: region -> (metric -> (limit, usage)).
        subnetworks: "<region>/<name>" -> whether it has Private Google Access.
        denied: patterns of "METHOD path" that the submitter may not ask.
    """

    lacks: set[str] = field(default_factory=set)
    accounts: dict[str, bool] = field(default_factory=lambda: {WORKERS: True})
    policy: dict[str, list[str]] = field(
        default_factory=lambda: {"roles/editor": [f"serviceAccount:{WORKERS}"]}
    )
    repositories: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    quotas: dict[str, dict[str, tuple[float, float]]] = field(
        default_factory=lambda: {
            "europe-west1": {
                "CPUS": (24.0, 4.0),
                "DISKS_TOTAL_GB": (4096.0, 96.0),
                "IN_USE_ADDRESSES": (8.0, 0.0),
            }
        }
    )
    subnetworks: dict[str, bool] = field(default_factory=lambda: {"europe-west1/default": True})
    denied: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes) -> Reply | None:
        """The answer to a request, None for one that is about something else."""
        questions: dict[str, Callable[..., Reply]] = {
            rf"POST {PROJECT}:testIamPermissions": self._permissions,
            rf"POST {PROJECT}:getIamPolicy": lambda **_: (200, _bindings(self.policy), {}),
            r"POST /v1/projects/-/serviceAccounts/(?P<account>[^/:]+):testIamPermissions": (
                self._act_as
            ),
            rf"GET {REPOSITORY}:getIamPolicy": self._repository,
            r"GET /compute/v1/projects/(?P<project>[^/]+)": self._project,
            rf"GET {REGION}": self._region,
            rf"GET {REGION}/subnetworks/(?P<name>[^/]+)": self._subnetwork,
        }
        for pattern, reply in questions.items():
            if match := re.fullmatch(pattern, f"{method} {path}"):
                if any(re.search(denied, match[0]) for denied in self.denied):
                    return error(403, "Permission denied.")
                given = match.groupdict() | ({"body": json.loads(body)} if body else {})
                return reply(**given)
        return None

    def _permissions(self, project: str, body: Any) -> Reply:
        if project != credentials.PROJECT:
            return error(403, "The caller does not have permission")
        has = [name for name in body["permissions"] if name not in self.lacks]
        return 200, {"permissions": has} if has else {}, {}

    def _act_as(self, account: str, body: Any) -> Reply:
        if account not in self.accounts:
            return error(404, f"Service account {account} does not exist.")
        return 200, {"permissions": body["permissions"]} if self.accounts[account] else {}, {}

    def _repository(self, project: str, location: str, name: str) -> Reply:
        policy = self.repositories.get(f"{project}/{location}/{name}")
        if policy is None:
            return error(404, "Requested entity was not found.")
        return 200, _bindings(policy), {}

    def _project(self, project: str) -> Reply:
        return 200, {"name": project, "defaultServiceAccount": WORKERS}, {}

    def _region(self, region: str) -> Reply:
        if region not in self.quotas:
            return error(404, f"The resource 'regions/{region}' was not found")
        quotas = [
            {"metric": metric, "limit": limit, "usage": usage}
            for metric, (limit, usage) in self.quotas[region].items()
        ]
        return 200, {"name": region, "quotas": quotas}, {}

    def _subnetwork(self, region: str, name: str) -> Reply:
        if (access := self.subnetworks.get(f"{region}/{name}")) is None:
            return error(404, f"The resource 'subnetworks/{name}' was not found")
        return 200, {"name": name, **({"privateIpGoogleAccess": True} if access else {})}, {}


def _bindings(policy: dict[str, list[str]]) -> dict[str, Any]:
    bindings = [{"role": role, "members": members} for role, members in policy.items()]
    return {"version": 1, "bindings": bindings} if bindings else {"version": 1}
