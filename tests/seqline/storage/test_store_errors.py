"""What a service answers becomes one line that says what to do.

The answers are those of Amazon's and Microsoft's documentation: an emulator gives few of them.
"""

import pytest

from seqline.errors import UserError
from seqline.storage import objects, s3_azure
from tests.support import s3
from tests.support.fake_cloud.server import Handler, Reply, listening

ANSWERS = {
    "region": (
        400,
        "AuthorizationHeaderMalformed",
        "the bucket 'bucket' lies in another region (AuthorizationHeaderMalformed: Said). Set "
        "AWS_REGION to that region, and run again.",
    ),
    "moved": (301, "PermanentRedirect", "the bucket 'bucket' lies in another region (Received"),
    "key": (403, "InvalidAccessKeyId", "gives no access to the bucket 'bucket' (InvalidAccessKey"),
    "denied": (403, "AccessDenied", "gives no access to the bucket 'bucket' (AccessDenied: Said)"),
    "expired": (400, "ExpiredToken", "gives no access to the bucket 'bucket' (ExpiredToken: Said"),
    "clock": (403, "RequestTimeTooSkewed", "S3 says: RequestTimeTooSkewed: Said. Set this mach"),
    "bucket": (404, "NoSuchBucket", "the bucket 'bucket' does not exist. Correct the name, or"),
    "odd": (418, "Teapot", "S3 refuses the request (Teapot: Said). Check AWS_ENDPOINT_URL and"),
    "no such header": (501, "NotImplemented", "S3 refuses the request (NotImplemented: Said)."),
    "broken": (500, "InternalError", "S3 does not answer (InternalError: Said). Check the net"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    status, code, message = ANSWERS[kind]

    class Answering(Handler):
        @staticmethod
        def answer(*_: object) -> Reply:
            body = f"<Error><Code>{code}</Code><Message>Said</Message></Error>"
            return status, body.encode(), {"Content-Type": "application/xml"}

    monkeypatch.setattr(s3_azure, "FIRST_ANSWER_SECONDS", 0.1)
    with listening(Answering) as port:
        variables = {**s3.KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        for ask in (
            lambda: list(objects.find("s3://bucket/a/")),
            lambda: objects.read("s3://bucket/a"),
            lambda: objects.write_object("s3://bucket/a", b"x", objects.ABSENT),
        ):
            with pytest.raises(UserError) as caught:
                ask()
            assert message in str(caught.value)
            assert str(caught.value).startswith("s3://bucket/a")
            assert "\n" not in str(caught.value)
