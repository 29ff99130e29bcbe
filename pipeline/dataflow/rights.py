"""What this account, and the account of the workers, may do in the project.

A right that this account is asked for itself is certain. What the workers' account may do is read
from policies; it may have more from a folder, an organization or a group. So what is not found
there is only said.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.dataflow.google_api import STORAGE, Api, MissingError, NotAskedError
from seqline.jobs.dataflow import option

SUBMITS = (
    "dataflow.jobs.create",
    "dataflow.jobs.get",
    "dataflow.jobs.list",
    "dataflow.jobs.cancel",
    "dataflow.messages.list",
    "dataflow.metrics.get",
)
ACT_AS = "iam.serviceAccounts.actAs"
ALL = {"roles/owner", "roles/editor"}
WORKER = {"roles/dataflow.worker", *ALL}
OBJECTS = {f"roles/storage.{name}" for name in ("objectUser", "objectAdmin", "admin")} | ALL
IMAGES = {f"roles/artifactregistry.{name}" for name in ("reader", "writer", "repoAdmin", "admin")}
IMAGES |= ALL | {"roles/viewer"}
REPOSITORY = re.compile(r"([a-z0-9-]+)-docker\.pkg\.dev/([^/]+)/([^/]+)/")


@dataclass
class Findings:
    """What was found out.

    Attributes:
        problems: what keeps a job from running, a sentence each.
        notes: what may hurt, or may keep it from running.
        not_asked: what this account may not ask for, or nothing answers to.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_asked: list[str] = field(default_factory=list)


def look(api: Api, beam_args: Sequence[str], buckets: Sequence[str], findings: Findings) -> None:
    """Looks at the rights of both accounts."""
    project = option(beam_args, "project") or ""
    if option(beam_args, "impersonate_service_account"):
        findings.not_asked.append("the rights of the impersonated account")
        return

    _of_submitter(api, project, findings)
    account = _workers_account(api, project, beam_args, findings)
    if not account:
        return
    _of_act_as(api, account, findings)
    try:
        policy = api.ask(
            "cloudresourcemanager", f"/v1/projects/{project}:getIamPolicy", {"options": {}}
        )
    except (NotAskedError, MissingError):
        findings.not_asked.append("the roles of the workers' account")
        return

    roles = _roles(policy, account)
    if not roles & WORKER and not _has_custom(roles):
        findings.notes.append(
            f"the workers' account {account} is not given the role dataflow.worker by the project "
            f"{project!r}: gcloud projects add-iam-policy-binding {project} "
            f"--member=serviceAccount:{account} --role=roles/dataflow.worker"
        )
    for bucket in buckets:
        _of_bucket(api, bucket, account, project, roles, findings)
    _of_image(api, beam_args, account, project, roles, findings)


def _of_submitter(api: Api, project: str, findings: Findings) -> None:
    try:
        has = api.permissions("cloudresourcemanager", f"/v1/projects/{project}", SUBMITS)
    except (NotAskedError, MissingError):
        findings.not_asked.append("this account's rights in the project")
        return
    if missing := [name for name in SUBMITS if name not in has]:
        findings.problems.append(
            f"--project={project}: this account lacks {', '.join(missing)}; the role "
            "dataflow.developer has them"
        )


def _workers_account(
    api: Api, project: str, beam_args: Sequence[str], findings: Findings
) -> str | None:
    if given := option(beam_args, "service_account_email"):
        return given
    try:
        answer = api.ask("compute", f"/compute/v1/projects/{project}")
        return str(answer["defaultServiceAccount"])
    except (NotAskedError, MissingError, KeyError):
        findings.not_asked.append("the workers' account")
        return None


def _of_act_as(api: Api, account: str, findings: Findings) -> None:
    place = f"/v1/projects/-/serviceAccounts/{account}"
    try:
        may = api.permissions("iam", place, [ACT_AS])
    except NotAskedError:
        findings.not_asked.append("whether this account may act as the workers'")
    except MissingError:
        findings.problems.append(
            f"the workers' account {account} does not exist: correct --service_account_email, or "
            "create it"
        )
    else:
        if ACT_AS not in may:
            findings.problems.append(
                f"this account lacks {ACT_AS} on the workers' account {account}: give it the role "
                "iam.serviceAccountUser on that account"
            )


def _of_bucket(
    api: Api, bucket: str, account: str, project: str, roles: set[str], findings: Findings
) -> None:
    if roles & OBJECTS - ALL or _has_custom(roles):
        return
    try:
        policy = api.ask(STORAGE, f"/storage/v1/b/{bucket}/iam")
    except (NotAskedError, MissingError):
        findings.not_asked.append(f"who may use the bucket {bucket!r}")
        return

    # An editor of the project has the rights that the bucket gives to all editors.
    groups = {f"roles/{name}": f"project{name.title()}:{project}" for name in ("owner", "editor")}
    members = [f"serviceAccount:{account}", *(groups[role] for role in sorted(roles & ALL))]
    found = set().union(*(_roles(policy, member=member) for member in members))
    legacy = any(role.startswith("roles/storage.legacy") for role in found)
    if not found & OBJECTS and not legacy and not _has_custom(found):
        findings.notes.append(
            f"the workers' account {account} is not given access to the bucket {bucket!r}: gcloud "
            f"storage buckets add-iam-policy-binding gs://{bucket} "
            f"--member=serviceAccount:{account} --role=roles/storage.objectUser"
        )


def _of_image(
    api: Api,
    beam_args: Sequence[str],
    account: str,
    project: str,
    roles: set[str],
    findings: Findings,
) -> None:
    image = option(beam_args, "sdk_container_image") or ""
    place = REPOSITORY.match(image)
    if place is None:
        return

    location, owner, name = place.groups()
    path = f"/v1/projects/{owner}/locations/{location}/repositories/{name}"
    try:
        policy = api.ask("artifactregistry", f"{path}:getIamPolicy")
    except MissingError:
        findings.problems.append(
            f"--sdk_container_image={image}: there is no repository {name!r} in {location} of the "
            f"project {owner!r}: correct the image's name, or push it"
        )
        return
    except NotAskedError:
        findings.not_asked.append("who may read the image's repository")
        return

    given = _roles(policy, account) | (roles if owner == project else set())
    if not given & IMAGES and not _has_custom(given):
        findings.notes.append(
            f"the workers' account {account} is not given the image {image}: gcloud artifacts "
            f"repositories add-iam-policy-binding {name} --location={location} --project={owner} "
            f"--member=serviceAccount:{account} --role=roles/artifactregistry.reader"
        )


def _roles(policy: Mapping[str, Any], account: str = "", member: str = "") -> set[str]:
    """The roles that a policy gives to an account, or to everybody."""
    members = {member or f"serviceAccount:{account}", "allUsers", "allAuthenticatedUsers"}
    return set(_bound(policy, members))


def _bound(policy: Mapping[str, Any], members: set[str]) -> Iterator[str]:
    for binding in policy.get("bindings", []):
        if members & set(binding.get("members", [])):
            yield str(binding.get("role", ""))


def _has_custom(roles: set[str]) -> bool:
    """Whether a role is one of the organization's own, of which nothing is known here."""
    return any(not role.startswith("roles/") for role in roles)
