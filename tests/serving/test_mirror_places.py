"""Places in an object store that a server or `predict` is given: what is read, what is refused."""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from serving import config, main, mirror, predict, remote
from serving.config import ConfigError
from serving.flags import parse
from serving.mirror import Mirrors
from serving.remote import RemoteError
from tests.support.served_bucket import FLAG, files, push


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (
            "s3://missing/m",
            (
                "s3://missing/m cannot be read: there is no such bucket or object. Correct the"
                " path, or create the bucket."
            ),
        ),
        ("s3://", "--model_base_path 's3://' names no place; give s3://<bucket>/<path>."),
        (
            "s3://bucket/a/../b",
            "--model_base_path 's3://bucket/a/../b' names no place; give s3://<bucket>/<path>.",
        ),
        (
            "s3:/bucket/m",
            (
                "--model_base_path 's3:/bucket/m' has one slash after its scheme; write"
                " s3://<bucket>/<path>."
            ),
        ),
        (
            "hdfs://cluster/m",
            (
                "--model_base_path 'hdfs://cluster/m': only a folder, gs://, s3:// or az:// can be"
                " served."
            ),
        ),
    ],
)
def test_a_place_that_cannot_be_read_is_one_line_at_the_start(
    s3: Any, capsys: pytest.CaptureFixture[str], place: str, message: str
) -> None:
    assert main.main([f"--model_base_path={place}", "--rest_api_port=0"]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_bad_credentials_and_no_network_are_one_line(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def error(place: str) -> str:
        with pytest.raises(RemoteError) as raised:
            Mirrors().folder(place, FLAG)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    refused = (
        "Generic S3 error: Server returned non-2xx status code: 403 Forbidden: <Error>"
        "<Code>InvalidAccessKeyId</Code></Error>\n\nDebug source:\nmany lines"
    )

    elsewhere = (
        "Generic S3 error: Received redirect without LOCATION, this normally indicates an"
        " incorrectly configured region\n\nDebug source:\nmany lines"
    )
    for said, cause in (
        (
            refused,
            "access is refused (InvalidAccessKeyId). Give credentials that may read it:"
            " AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION.",
        ),
        (
            elsewhere,
            "the bucket is in another region than AWS_REGION (us-east-1). Set it to the bucket's.",
        ),
    ):
        refuse = mock.Mock(side_effect=ValueError(said))
        with monkeypatch.context() as patch:
            patch.setattr(remote._Obstore, "find", refuse)
            assert error("s3://bucket/m") == f"s3://bucket/m cannot be read: {cause}"

    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    assert error("az://container/m") == (
        "az://container/m cannot be read: access is refused (none given). Give credentials that may"
        " read it: AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY."
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert error("s3://bucket/m").endswith(
        "Check the network and AWS_ENDPOINT_URL (http://127.0.0.1:1)."
    )


def test_a_missing_package_is_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_is_installed", lambda module: False)
    for place, package in (
        ("gs://b/m", "google-cloud-storage"),
        ("s3://b/m", "obstore"),
        ("az://b/m", "obstore"),
    ):
        with pytest.raises(ConfigError) as raised:
            config.models_of(parse([f"--model_base_path={place}"]))
        assert str(raised.value) == (
            f"--model_base_path '{place}' needs {package}: {sys.executable} -m pip install"
            f" {package}"
        )


def test_a_config_file_and_its_base_paths_may_be_in_a_store(s3: Any, tmp_path: Path) -> None:
    push(s3, "served/a/1")
    text = (
        'model_config_list { config { name: "a" base_path: "s3://bucket/served/a" }'
        ' config { name: "b" base_path: "b" } config { name: "c" base_path: "/c" } }'
    )
    s3.put_object(Bucket="bucket", Key="served/models.config", Body=text.encode())
    mirrors = Mirrors()
    models = config.read("s3://bucket/served/models.config", mirrors)
    assert [(model.name, model.place) for model in models] == [
        ("a", "s3://bucket/served/a"),
        ("b", "s3://bucket/served/b"),
        ("c", ""),
    ]
    assert [model.base_path for model in models] == [
        mirrors.folder("s3://bucket/served/a", FLAG),
        mirrors.folder("s3://bucket/served/b", FLAG),
        Path("/c"),
    ]

    (tmp_path / "models.config").write_text(text.replace("s3://bucket", "s3://missing"))
    with pytest.raises(ConfigError, match=r"^s3://missing/served/a cannot be read: there is no"):
        config.read(tmp_path / "models.config")
    with pytest.raises(ConfigError, match=r"gone\.config: there is no such object\.$"):
        config.read("s3://bucket/served/gone.config")


def test_a_name_that_is_not_among_the_models_is_refused_by_their_names(s3: Any) -> None:
    push(s3, "all/a/1")
    push(s3, "all/b/1")
    with pytest.raises(ConfigError) as raised:
        config.models_of(parse(["--model_base_path=s3://bucket/all", "--model_name=c"]), Mirrors())
    assert str(raised.value) == (
        "--model_name c: s3://bucket/all holds a, b. Name one of them, or its folder by"
        " --model_base_path."
    )


def test_one_model_is_fetched_to_be_asked(s3: Any, tmp_path: Path) -> None:
    push(s3, "m/1", "one")
    push(s3, "m/10", "ten")
    assert files(mirror.fetch("s3://bucket/m", tmp_path / "newest"))["saved_model.pb"] == "ten"
    assert files(mirror.fetch("s3://bucket/m/1", tmp_path / "one"))["saved_model.pb"] == "one"
    with pytest.raises(RemoteError, match=r"^s3://bucket/none holds no model\. "):
        mirror.fetch("s3://bucket/none", tmp_path / "none")


def test_asking_a_model_in_a_store_needs_nothing_of_the_house(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["predict", "s3://bucket/none", "a text"])
    with pytest.raises(SystemExit) as ended:
        predict.main()
    assert str(ended.value) == (
        "error: s3://bucket/none holds no model. Name a model's or a version's path."
    )
