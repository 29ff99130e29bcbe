"""The fake cloud's service account, and the endpoints for tokens that its machines have."""

import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.fake_cloud.server import Reply

PROJECT = "fake-project"
ACCOUNT = f"worker@{PROJECT}.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN = {"access_token": "fake-token", "expires_in": 3600, "token_type": "Bearer"}
METADATA = "/computeMetadata/v1"


def write_service_account(path: Path, token_uri: str) -> None:
    """Writes the key file of a service account.

    Clients sign with its key as usual, but ask for their token at `token_uri`.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": "fake",
        "private_key": pem.decode(),
        "client_email": ACCOUNT,
        "client_id": "1",
        "token_uri": token_uri,
    }

    path.write_text(json.dumps(account), encoding="utf-8")
    path.chmod(0o600)


def answer(path: str) -> Reply | None:
    """The answer to a request for a token or for a machine's metadata; None for other requests."""
    flavor = {"Metadata-Flavor": "Google"}
    account = {"email": ACCOUNT, "scopes": [SCOPE], "aliases": ["default"]}
    if path.endswith("/token"):  # of OAuth, and of a machine's own service account
        return 200, TOKEN, flavor
    if path.endswith("/allowedLocations"):
        return 200, {"locations": [], "encodedLocations": "0x0"}, {}
    if path in ("/", METADATA, f"{METADATA}/"):  # is this a machine of the cloud?
        return 200, b"", flavor
    if not path.startswith(f"{METADATA}/"):
        return None

    if "/service-accounts" in path:
        is_list = path.rstrip("/").endswith("service-accounts")
        return 200, {"default": account} if is_list else account, flavor

    text = {
        "project/project-id": PROJECT,
        "universe/universe-domain": "googleapis.com",
        "instance/zone": "projects/1/zones/fake-a",
    }

    value = text.get(path.removeprefix(f"{METADATA}/"))
    if value is None:
        return 404, b"", flavor
    return 200, value.encode(), flavor | {"Content-Type": "application/text"}
