"""Labels in models.config, and the versions that stay."""

from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from components.pusher.publish import promote, push
from seqline.errors import UserError
from tests.components.pusher.reading import labels_in, versions


def test_models_config_is_tensorflow_servings(models: Callable[[str], Path], served: Path) -> None:
    push(models("a"), served, model_name="topics", served_from="/models/topics")
    assert text_format.Parse(
        (served / "models.config").read_text(), ModelServerConfig()
    ) == text_format.Parse(
        """model_config_list { config {
            name: "topics" base_path: "/models/topics" model_platform: "tensorflow"
            model_version_policy { latest { num_versions: 2 } }
            version_labels { key: "stable" value: 1 } } }""",
        ModelServerConfig(),
    )


def test_the_policy_has_room_for_the_version_that_comes_next(
    models: Callable[[str], Path], served: Path
) -> None:
    """TensorFlow Serving moves a label only to a version that it has loaded.

    It must not unload the stable version for that.
    """

    def num_versions() -> int:
        config = text_format.Parse((served / "models.config").read_text(), ModelServerConfig())
        return config.model_config_list.config[0].model_version_policy.latest.num_versions

    push(models("a"), served)
    counts = [num_versions()]
    for name in "bcd":
        push(models(name), served, label="canary")
        counts.append(num_versions())
    promote(served)
    assert [*counts, num_versions()] == [2, 3, 4, 5, 2]


def test_canary_and_promotion(models: Callable[[str], Path], served: Path) -> None:
    push(models("a"), served)
    push(models("b"), served, label="canary")
    assert labels_in(served) == {"stable": 1, "canary": 2}
    assert promote(served) == 2
    assert labels_in(served) == {"stable": 2}
    with pytest.raises(
        UserError, match=r"has no canary to promote\. Push one with --set pusher\.label=canary\."
    ):
        promote(served)
    push(models("c"), served, label="canary")
    push(models("d"), served)
    assert labels_in(served) == {"stable": 4}  # a canary that is older than stable loses its label


def test_the_same_content_again_under_another_label(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served)
    push(models("b"), served, label="canary")
    assert not push(models("b"), served)["pushed"]
    assert labels_in(served) == {"stable": 2}


def test_other_models_in_the_configuration_stay(
    models: Callable[[str], Path], served: Path
) -> None:
    push(models("a"), served, model_name="other", served_from="/other")
    push(models("b"), served)
    assert labels_in(served, "other") == {"stable": 1}
    assert labels_in(served) == {"stable": 2}
    (served / "models.config").write_text("model_config_list {")
    with pytest.raises(
        UserError, match=r"models\.config is not a ModelServerConfig of TensorFlow Serving \("
    ):
        push(models("c"), served)


# Which versions stay


def test_the_last_ones_stay(models: Callable[[str], Path], served: Path) -> None:
    for name in "abcde":
        push(models(name), served, keep_versions=3)
    assert versions(served) == [3, 4, 5]
    push(models("f"), served, keep_versions=None)
    assert versions(served) == [3, 4, 5, 6]
    push(models("g"), served, keep_versions=1)
    assert versions(served) == [7]


def test_what_a_label_names_and_what_is_not_ours_stays(
    models: Callable[[str], Path], served: Path
) -> None:
    (served / "1").mkdir(parents=True)
    push(models("a"), served)
    for name in "bcd":
        push(models(name), served, label="canary", keep_versions=1)
    assert versions(served) == [1, 2, 5]
    assert labels_in(served) == {"stable": 2, "canary": 5}
