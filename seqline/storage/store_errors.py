"""Turns errors of obstore into sentences, for s3:// and az://."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from seqline.errors import DataError, UserError

# Of a service's answer: its code, its message.
CODE = re.compile(r"<Code>([^<]*)</Code>")
MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
# The address at which a machine of a cloud asks who it is.
METADATA = ("169.254.169.254", "169.254.170.", "metadata.google")
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted")
WRONG_REGION = ("PermanentRedirect", "AuthorizationHeaderMalformed", "redirect without LOCATION")
NO_ACCESS = re.compile(
    r"status code: 40[13]|InvalidAccessKeyId|SignatureDoesNotMatch|Account must be specified"
    r"|ExpiredToken|InvalidToken|AuthenticationFailed"
    r"|Invalid Access Key|Unauthorized|Missing (?:AccessKeyId|SecretAccessKey|Key)|Not enough"
)
# What another try does not change. A store answers 501 to what it has not implemented.
REFUSED = re.compile(r"status code: (?:4(?!08|29)\d\d|501)")
ACCESS = {
    "s3": (
        "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (of a profile: "
        '`eval "$(aws configure export-credentials --format env)"`), and give that account the '
        "right to list, read, write and delete objects."
    ),
    "az": (
        "Set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or "
        "AZURE_STORAGE_SAS_TOKEN, and give that account the role Storage Blob Data Contributor."
    ),
}
ENDPOINT = {"s3": "AWS_ENDPOINT_URL", "az": "AZURE_STORAGE_ENDPOINT"}
SERVICE = {"s3": "S3", "az": "Azure Blob Storage"}


class NoAnswerError(UserError):
    """A service that does not answer, or answers that it cannot."""


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raises what obstore raises within the block as a UserError or DataError of one line.

    A missing object stays a FileNotFoundError, a condition that does not hold obstore's own error.
    """
    from obstore import exceptions

    try:
        yield
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
        raise
    except FileNotFoundError as error:
        if any(code in str(error) for code in NO_BUCKET):
            raise _sentence(path, error) from None
        raise FileNotFoundError(path) from None
    except exceptions.InvalidPathError as error:
        raise DataError(
            f"{path}: a name there has parts that are empty or dots ({_line(error)}). "
            "Rename that object, and run again."
        ) from None
    except exceptions.BaseError as error:
        raise _sentence(path, error) from error


def _sentence(path: str, error: Exception) -> UserError:
    scheme, _, rest = path.partition("://")
    bucket = rest.partition("/")[0]
    kind = "container" if scheme == "az" else "bucket"
    # Without the request's headers and the source of the error, which follow.
    text = str(error).partition("\n\nDebug source")[0]
    reason = _line(error)

    if any(code in text for code in NO_BUCKET):
        return DataError(
            f"{path}: the {kind} {bucket!r} does not exist. Correct the name, or make it, and run "
            "again."
        )
    if any(code in text for code in WRONG_REGION):
        return UserError(
            f"{path}: the bucket {bucket!r} lies in another region ({reason}). "
            "Set AWS_REGION to that region, and run again."
        )
    if any(address in text for address in METADATA):
        return UserError(
            f"{path}: there are no credentials for {SERVICE[scheme]}. {ACCESS[scheme]}"
        )
    if "RequestTimeTooSkewed" in text:
        return UserError(f"{path}: {SERVICE[scheme]} says: {reason}. Set this machine's clock.")
    if NO_ACCESS.search(text):
        return UserError(
            f"{path}: {SERVICE[scheme]} gives no access to the {kind} {bucket!r} ({reason}). "
            f"{ACCESS[scheme]}"
        )
    if REFUSED.search(text):
        return UserError(
            f"{path}: {SERVICE[scheme]} refuses the request ({reason}). Check {ENDPOINT[scheme]}"
            f"{' and AWS_REGION' if scheme == 's3' else ''}. A store must know conditional writes "
            "(If-None-Match and If-Match)."
        )
    return NoAnswerError(
        f"{path}: {SERVICE[scheme]} does not answer ({reason}). Check the network and "
        f"{ENDPOINT[scheme]}, and run again."
    )


def _line(error: Exception) -> str:
    """What a service said, or the end of obstore's message."""
    text = " ".join(str(error).partition("\n\nDebug source")[0].split())
    parts = [found[1] for found in (CODE.search(text), MESSAGE.search(text)) if found]
    if parts:
        return ": ".join(parts)[:200].rstrip(".")

    found = re.search(r"Error performing [A-Z]+ (https?://\S+)", text)
    end = text.rpartition(" - ")[2].rpartition("error: ")[2] or text
    end = end.replace("Server returned non-2xx status code: ", "").rstrip(": ")
    place = f"{end} to {found[1].partition('?')[0]}" if found else end
    return place[:200].rstrip(". ")
