"""Questions to Google's REST services: about projects, accounts, quotas and buckets."""

import os
from collections.abc import Sequence
from typing import Any

from seqline.jobs import dataflow
from seqline.jobs.dataflow import option

TIMEOUT = (5.0, 10.0)  # seconds to connect, seconds to read
STORAGE = "storage"


class NotAskedError(Exception):
    """A question is not answered: this account may not ask it, or nothing answers."""


class MissingError(Exception):
    """What was asked about does not exist."""


class Api:
    """The services, asked with the credentials of Dataflow's client.

    An endpoint of Dataflow that is not Google's stands for all of them, as an emulator's does.
    Cloud Storage is where STORAGE_EMULATOR_HOST says.
    """

    def __init__(self, beam_args: Sequence[str]) -> None:
        self.client = dataflow.client(beam_args)
        given = option(beam_args, "dataflow_endpoint") or ""
        self.endpoint = "" if not given or ".googleapis.com" in given else given.rstrip("/")

    def ask(self, service: str, path: str, body: Any = None) -> dict[str, Any]:
        """The answer to a GET of a path, or to a POST of a body.

        Args:
            service: the first part of the service's host, e.g. compute.
            path: with its version, e.g. /compute/v1/projects/p.
            body: JSON.

        Raises:
            NotAskedError: there is no answer.
            MissingError: what the path names does not exist.
        """
        import google.auth.exceptions as auth
        import requests

        host = self.endpoint or f"https://{service}.googleapis.com"
        if service == STORAGE:
            host = os.environ.get("STORAGE_EMULATOR_HOST", host)
        try:
            method = "GET" if body is None else "POST"
            answer = self.client.session_of_account().request(
                method, f"{host.rstrip('/')}{path}", json=body, timeout=TIMEOUT
            )
        except (requests.RequestException, auth.GoogleAuthError) as error:
            raise NotAskedError(" ".join(str(error).split())[:100]) from None

        if answer.status_code == 404:
            raise MissingError
        if answer.status_code >= 400:
            raise NotAskedError(f"{service} answers {answer.status_code}")
        try:
            return dict(answer.json())
        except ValueError:
            raise NotAskedError(f"{service} does not answer in JSON") from None

    def permissions(self, service: str, resource: str, wanted: Sequence[str]) -> set[str]:
        """Those of the permissions that this account has on a resource.

        Raises:
            NotAskedError, MissingError: as `ask`.
        """
        body = {"permissions": list(wanted)}
        answer = self.ask(service, f"{resource}:testIamPermissions", body)
        return set(answer.get("permissions", []))
