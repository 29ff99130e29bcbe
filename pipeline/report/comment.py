"""The report as one comment on a pull request, updated in place.

It uses GitHub's REST API, or any server that has its four endpoints.
"""

import os
import re
from typing import Any

from pipeline.report.markdown import WATERMARK
from seqline.errors import UserError

API = "https://api.github.com"
TIMEOUT_SECONDS = 30
# At most this many pages of 100 comments are searched.
NUM_PAGES = 50
ADVICE = {
    401: "is GITHUB_TOKEN a token, and not expired?",
    403: "the token may not do it; a workflow needs `permissions: pull-requests: write`",
    404: "there is no such pull request, or the token may not see it",
    410: "comments are switched off there",
    422: "GitHub did not take the comment",
}


def comment(target: str, body: str) -> tuple[str, bool]:
    """Posts a comment on a pull request, or replaces the first one that has the watermark.

    Reads GITHUB_TOKEN, and GITHUB_API_URL if it is set.

    Args:
        target: OWNER/REPO#NUMBER.
        body: the comment, which begins with the watermark.

    Returns:
        (the URL of the comment, whether it is new).

    Raises:
        UserError: the target is malformed, the token is missing, or the server refused.
    """
    assert body.startswith(WATERMARK), "or the next call would not find it"
    match = re.fullmatch(r"([\w.-]+)/([\w.-]+)#(\d+)", target)
    if not match or {".", ".."} & {match[1], match[2]}:
        raise UserError(f"--comment {target!r} is not OWNER/REPO#NUMBER, such as octocat/hello#12.")

    token = os.environ.get("GITHUB_TOKEN")
    if not token:
        raise UserError(
            "--comment needs GITHUB_TOKEN in the environment; in a workflow: env: {GITHUB_TOKEN:"
            " ${{ github.token }}}."
        )

    client = _Client(os.environ.get("GITHUB_API_URL") or API, token, target)
    issues = f"/repos/{match[1]}/{match[2]}/issues"
    comment_id = client.find(f"{issues}/{match[3]}/comments")

    if comment_id is None:
        return (
            str(client.ask("POST", f"{issues}/{match[3]}/comments", {"body": body})["html_url"]),
            True,
        )
    return str(
        client.ask("PATCH", f"{issues}/comments/{comment_id}", {"body": body})["html_url"]
    ), False


class _Client:
    """One server, one token."""

    def __init__(self, api: str, token: str, target: str) -> None:
        import requests

        self.api = api.rstrip("/")
        self.target = target
        self.session = requests.Session()
        self.session.trust_env = True  # proxies
        self.session.headers.update(
            {
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            }
        )

    def find(self, path: str) -> int | None:
        """The id of the first comment that begins with the watermark."""
        for page in range(1, NUM_PAGES + 1):
            comments = self.ask("GET", f"{path}?per_page=100&page={page}")
            if not isinstance(comments, list):
                raise UserError(f"{self.api} is not GitHub: {path} did not return a list.")
            for comment in comments:
                if str(comment.get("body") or "").startswith(WATERMARK):
                    return int(comment["id"])
            if len(comments) < 100:
                return None

        return None

    def ask(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        """Sends a request and returns the JSON of the response. Raises UserError if it fails."""
        import requests

        request = f"{method} {self.api}{path.partition('?')[0]}"
        try:
            # A redirect is not followed: the token is for this server.
            answer = self.session.request(
                method,
                self.api + path,
                json=content,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            reply = answer.json()
        except requests.JSONDecodeError:
            reply = None
        except requests.RequestException as error:
            raise UserError(
                f"{self.target} has no comment: {request} got no answer ({type(error).__name__}:"
                f" {error})."
            ) from None

        if answer.status_code not in (200, 201) or reply is None:
            message = reply.get("message", "") if isinstance(reply, dict) else ""
            advice = ADVICE.get(
                answer.status_code,
                "try again later" if answer.status_code >= 500 else "is GITHUB_API_URL right?",
            )
            raise UserError(
                f"{self.target} has no comment: {request} answered {answer.status_code}"
                f" {str(message)[:200]!r}; {advice}."
            )
        return reply
