"""The way by which TensorFlow's C++ client reaches the fake bucket.

The client knows only https://storage.googleapis.com, but its libcurl follows `https_proxy` and
`CURL_CA_BUNDLE`. So the proxy speaks TLS in place of Google's hosts, with certificates of a
throw-away authority.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.fake_cloud import credentials
from tests.support.fake_cloud.gcs import FakeGcs
from tests.support.fake_cloud.server import Handler, Reply, listening

# google-auth asks the last one in the background whether an account may be used.
HOSTS = (
    "www.googleapis.com",
    "storage.googleapis.com",
    "oauth2.googleapis.com",
    "iamcredentials.googleapis.com",
)
DAYS = 2


def write_certificates(folder: Path) -> tuple[Path, Path]:
    """Writes certificates that are valid for HOSTS, for two days.

    Returns:
        authority.pem, and server.pem with its key.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    server_key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake cloud")])
    now = datetime.now(UTC)

    def certificate(name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            issuer,
            name,
            key.public_key(),
            x509.random_serial_number(),
            now - timedelta(hours=1),
            now + timedelta(days=DAYS),
        )

    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    authority = certificate(issuer, authority_key).add_extension(
        x509.BasicConstraints(True, None), critical=True
    )
    signed_authority = authority.add_extension(usage, critical=True).sign(
        authority_key, hashes.SHA256()
    )
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOSTS[0])])
    signed_server = (
        certificate(subject, server_key)
        .add_extension(names, critical=False)
        .sign(authority_key, hashes.SHA256())
    )

    pem = serialization.Encoding.PEM
    (folder / "authority.pem").write_bytes(signed_authority.public_bytes(pem))
    key = server_key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "server.pem").write_bytes(signed_server.public_bytes(pem) + key)
    (folder / "server.pem").chmod(0o600)
    return folder / "authority.pem", folder / "server.pem"


@contextmanager
def serve(store: FakeGcs, folder: Path) -> Iterator[dict[str, str]]:
    """Runs a proxy for the store. Yields the environment variables that send libcurl through it."""
    authority, server = write_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)

    class ProxyHandler(Handler):
        @staticmethod
        def answer(
            method: str, path: str, query: dict[str, str], headers: object, body: bytes
        ) -> Reply:
            return credentials.answer(path) or store.answer(method, path, query, headers, body)

        def do_CONNECT(self) -> None:  # noqa: N802
            """From here on the client speaks TLS with this handler, in place of the named host."""
            self.send_response(200)
            self.end_headers()
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb")
            self.close_connection = False

        def handle_expect_100(self) -> bool:
            answered = super().handle_expect_100()
            self.wfile.flush()  # libcurl waits a second for it
            return answered

        def finish(self) -> None:
            super().finish()
            self.connection.close()  # the server closes only the socket under TLS

    with listening(ProxyHandler) as port:
        bundles = {"CURL_CA_BUNDLE": str(authority), "REQUESTS_CA_BUNDLE": str(authority)}
        yield {
            "https_proxy": f"http://127.0.0.1:{port}",
            "no_proxy": "localhost,127.0.0.1",
            **bundles,
        }
