"""Requests that Schemathesis makes of the server's OpenAPI document, and the checks that hold."""

from collections import Counter
from collections.abc import Iterator

import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

# A valid body may be refused for what a schema cannot say, such as lists of unequal sizes: there is
# no check that it is accepted.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def operations(url: str) -> Iterator[schemathesis.APIOperation]:
    """What the document of a server offers. It is checked to be an OpenAPI document."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    schema.validate()
    for result in schema.get_all_operations():
        yield result.ok()


def ask(
    url: str, operation: schemathesis.APIOperation, mode: GenerationMode, number: int, first: int
) -> Counter[int]:
    """Sends requests of one kind, and checks each answer.

    Args:
        url: The server.
        operation: What is asked.
        mode: Whether the requests keep to the document.
        number: How many, at most.
        first: The seed of the first.

    Returns:
        How often the server answered by each status.
    """
    statuses: Counter[int] = Counter()

    @seed(first)
    @settings(
        max_examples=number,
        suppress_health_check=list(HealthCheck),
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        verbosity=Verbosity.quiet,
    )
    @given(operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        response = case.call(base_url=url, timeout=60)
        statuses[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    send()
    return statuses
