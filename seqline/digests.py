"""Short digests of JSON values: what keys, spans and samples are named by."""

import json
from hashlib import blake2b
from typing import Any


def digest(value: Any) -> str:
    """A short digest of a JSON value."""
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=10).hexdigest()
