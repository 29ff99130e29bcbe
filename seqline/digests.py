"""Short digests of JSON values, which name keys, spans and samples."""

import json
from hashlib import blake2b
from typing import Any


def digest(value: Any) -> str:
    """20 hexadecimal digits; the order of an object's names does not matter."""
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=10).hexdigest()
