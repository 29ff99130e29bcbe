"""What no setting can be is one line, however it is given."""

import os
from pathlib import Path

import pytest

from pipeline import config, sizes, toml_values
from seqline.errors import UserError

BASE = '[example_gen]\nsource = "rows.csv"\n'
DEEP = "nested too deeply"
LONG = "a number has thousands of digits"
VALUES = {
    "[" * 2000 + "]" * 2000: DEEP,
    "{a = " * 2000 + "1" + "}" * 2000: DEEP,
    "[" * 40 + "]" * 40: "is nested more than 32 deep",
    "9" * 5000: LONG,
    "0x" + "f" * 5000: "is a number of 20,000 bits",
    "1" + "0" * 400: "is a number of 1,329 bits",
    "9223372036854775808": "is a number of 64 bits",
    "1e400": "valid integer, not inf",
    "nan": "valid integer, not nan",
    "-0": "greater than or equal to 1, not 0",
    '"a\\u0000b"': r"'a\x00b' holds a zero byte",
    '"' + "x" * 100_000 + '"': "(100,002 characters)",
}


def refusal(
    file: Path,
    settings: tuple[str, ...] = (),
    places: dict[str, str] | None = None,
    environment: dict[str, tuple[str, str]] | None = None,
) -> str:
    with pytest.raises(UserError) as raised:
        config.load(str(file), settings, places, environment)
    sentence = str(raised.value)
    assert sentence.isprintable()
    assert len(sentence) < 500
    return sentence


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(BASE)
    return path


@pytest.mark.parametrize(("value", "expected"), VALUES.items(), ids=lambda text: text[:12])
def test_a_value_that_no_setting_can_have(value: str, expected: str, file: Path) -> None:
    name = "trainer.rnn_units"
    assert expected in refusal(file, (f"{name}={value}",))
    assert expected in refusal(file, environment={name: ("SEQLINE_TRAINER__RNN_UNITS", value)})
    file.write_text(f"{BASE}[trainer]\nrnn_units = {value}\n")
    assert expected in refusal(file)


@pytest.mark.parametrize("setting", ["..=1", "=5", ".".join("a" * 5000) + "=1", "trainer=5"])
def test_a_name_that_no_setting_has(setting: str, file: Path) -> None:
    refusal(file, (setting,))


CONTENTS = {
    "twice": (BASE + BASE, "is not TOML: Cannot declare"),
    "UTF-16": (BASE.encode("utf-16"), "is not TOML, which is text in UTF-8"),
    "binary": (bytes(range(256)), "is not TOML, which is text in UTF-8"),
    "zeros": (bytes(100), "is not TOML: Invalid statement"),
    "deep table": (f"{BASE}[{'.'.join('a' * 5000)}]\n", "is nested more than 32 deep"),
    "many names": (BASE + "".join(f"k{n} = 1\n" for n in range(3000)), "and 2,995 more"),
    "too long": (b"#" * (toml_values.MOST_BYTES + 1), "it has 17 MB, and 16 MB are more than any"),
}


@pytest.mark.parametrize(("content", "expected"), CONTENTS.values(), ids=CONTENTS)
def test_a_file_that_is_no_configuration(
    content: str | bytes, expected: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    Path("my.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as raised:
        config.load("my.toml")
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_byte_order_mark_is_passed_over(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + BASE.encode())
    assert config.load(str(file)).example_gen.source == "rows.csv"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    assert "is a pipe, and no configuration" in refusal(tmp_path / "pipe.toml")
    assert "is a folder, and no configuration" in refusal(tmp_path)
    assert "is a device, and no configuration" in refusal(Path("/dev/zero"))
    for name in ("loop.toml", "a\0b.toml", "x" * 5000, "\udc80"):
        assert "There is no configuration" in refusal(tmp_path / name)


PLACES = {
    "": "is empty; name a folder",
    "a\0b": "holds a zero byte",
    "a\nb": "holds a control character",
    "a\x1bb": "holds a control character",
    "x" * 256: "is too long",
    "x/" * 3000: "is too long",
    "a\udc80": "TensorFlow takes paths in UTF-8 only",
}


@pytest.mark.parametrize(("place", "expected"), PLACES.items(), ids=lambda text: repr(text)[:12])
def test_a_place_that_no_folder_can_be(place: str, expected: str, file: Path) -> None:
    for name in ("root", "pusher.serving_dir"):
        assert expected in refusal(file, places={name: place})


def test_the_longest_name(file: Path) -> None:
    assert config.load(str(file), [f"name={'a' * 200}"]).name == "a" * 200
    assert "at most 200 characters" in refusal(file, (f"name={'a' * 201}",))
    long_file = file.with_name("b" * 250 + ".toml")
    file.rename(long_file)
    assert config.load(str(long_file)).name == "b" * 200


@pytest.mark.parametrize(
    ("setting", "way_out"),
    [
        ("trainer.rnn_units=1000000000", "Lower trainer.rnn_units."),
        ("trainer.embedding_dim=1000000000000", "Lower trainer.embedding_dim."),
        ("trainer.skip_dim=1000000000000", "Lower trainer.skip_dim."),
        ("transform.vocab_size=1000000000000", "less than or equal to 2147483647"),
        ("transform.max_length=1000000000000", "less than or equal to 2147483647"),
        ("trainer.batch_size=1000000000000", "less than or equal to 2147483647"),
        ("trainer.num_epochs=1000000000000000000", "less than or equal to 2147483647"),
        ("trainer.num_layers=1000000", "less than or equal to 1000"),
        (
            "tuner={num_trials = 2, ranges = {rnn_units = {choices = [8, 1000000000]}}}",
            "Lower tuner.ranges.rnn_units.",
        ),
    ],
)
def test_a_size_that_no_machine_can_train(setting: str, way_out: str, file: Path) -> None:
    with pytest.raises(UserError) as raised:
        sizes.check(config.load(str(file), [setting]))
    assert way_out in str(raised.value)


def test_sizes_that_may_work_pass(file: Path) -> None:
    settings = ("transform.vocab_size=2000000000", "trainer.batch_size=1000000000")
    sizes.check(config.load(str(file), [*settings, "transform.max_length=1000000000"]))
    sizes.check(config.load(str(file), ["example_gen.content='sequence'", "example_gen.dim=3"]))
