"""Which requests share a batch.

Everything runs in this process on one thread, so that the order of requests is always the same.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from serving.batch import RowError
from serving.batching import Batcher, Limits
from serving.errors import RefusedError
from serving.model import LoadedModel
from tests.support.models import fake_model
from tests.support.served import save

NEVER = 1e6  # seconds


@tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
def roots(x: Any) -> Any:
    with tf.control_dependencies(
        [tf.debugging.assert_non_negative(x, "there is no root of less than nothing")]
    ):
        return {"y": tf.sqrt(x)}


@tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "x")])
def wide(x: Any) -> Any:
    return {"y": x + 1.0}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, LoadedModel]]:
    folder = tmp_path_factory.mktemp("models")
    paths = {content: fake_model(folder / content, content) for content in ("tokens", "sequence")}
    paths["roots"] = save(folder / "roots", serving_default=roots, wide=wide)
    loaded = {name: LoadedModel(path) for name, path in paths.items()}
    yield loaded
    for model in loaded.values():
        model.close()


def ask(
    model: LoadedModel,
    requests: list[dict[str, np.ndarray]],
    signature: str = "serving_default",
    **limits: Any,
) -> tuple[list, list[int]]:
    """Asks at once; returns (the answer to each request, the sizes of the batches)."""
    sizes = []

    async def all_at_once() -> list:
        batcher = Batcher(
            Limits(**{"num_threads": 1, "timeout": NEVER, "max_batch_size": 8, **limits}),
            lambda rows, _: sizes.append(rows),
        )
        calls = (batcher.run(model, model.signatures[signature], request) for request in requests)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert not batcher.queues
        batcher.threads.shutdown()
        return answers

    return asyncio.run(all_at_once()), sizes


def test_a_request_whose_client_went_away_does_not_run(models: dict[str, LoadedModel]) -> None:
    sizes: list[int] = []
    model = models["roots"]

    async def give_up() -> None:
        limits = Limits(num_threads=1, timeout=NEVER, max_batch_size=8)
        batcher = Batcher(limits, lambda rows, _: sizes.append(rows))
        signature = model.signatures["serving_default"]
        first, *others = (
            asyncio.ensure_future(batcher.run(model, signature, floats(*values)))
            for values in ([1, 4], [9, 16, 25], [36])
        )
        await asyncio.sleep(0)
        assert batcher.num_waiting == 2

        others[0].cancel()  # It waits.
        with pytest.raises(asyncio.CancelledError):
            await others[0]
        assert batcher.num_waiting == 1

        first.cancel()  # It runs: its model stays in use until it is done.
        with pytest.raises(asyncio.CancelledError):
            await first
        assert sizes[0] == 2  # The next may have run already.

        assert (await others[1])["y"].tolist() == [6]
        assert (batcher.num_waiting, batcher.queues) == (0, {})
        batcher.threads.shutdown()

    asyncio.run(give_up())
    assert sizes == [2, 1]


def floats(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.float32)}


def test_the_first_runs_at_once_and_the_others_meanwhile_gather(
    models: dict[str, LoadedModel],
) -> None:
    answers, sizes = ask(models["roots"], [floats(number**2) for number in range(12)])
    assert [answer["y"].tolist() for answer in answers] == [[number] for number in range(12)]
    assert sizes == [1, 8, 3]


def test_without_batching_each_is_alone(models: dict[str, LoadedModel]) -> None:
    _, sizes = ask(models["roots"], [floats(1)] * 3, enabled=False)
    assert sizes == [1, 1, 1]


def test_a_bad_row_fails_alone(models: dict[str, LoadedModel]) -> None:
    answers, sizes = ask(
        models["roots"],
        [floats(-1 if number == 5 else number**2, 1) for number in range(9)],
        max_batch_size=16,
    )

    for number, answer in enumerate(answers):
        if number == 5:
            assert isinstance(answer, RowError)
            assert (answer.row, answer.status) == (0, 400)
            assert str(answer).startswith(
                "assertion failed: [there is no root of less than nothing"
            )
        else:
            assert answer["y"].tolist() == [number, 1]
    assert sizes == [2, 16]


def test_a_huge_request_is_split_and_put_together(models: dict[str, LoadedModel]) -> None:
    [answer], sizes = ask(models["roots"], [floats(*(number**2 for number in range(21)))])
    assert answer["y"].tolist() == list(range(21))
    assert sizes == [8, 8, 5]
    [error], _ = ask(models["roots"], [floats(*range(20), -1)])
    assert isinstance(error, RowError)
    assert error.row == 20


def test_where_the_answer_has_the_shape_of_the_batch_nothing_is_joined(
    models: dict[str, LoadedModel],
) -> None:
    answers, sizes = ask(
        models["roots"], [{"x": np.zeros((1, number), np.float32)} for number in (1, 2, 3)], "wide"
    )
    assert [answer["y"].tolist() for answer in answers] == [
        [[1.0]],
        [[1.0, 1.0]],
        [[1.0, 1.0, 1.0]],
    ]
    assert len(sizes) == 3


def rows_of(content: str, time_steps: int) -> dict[str, np.ndarray]:
    if content == "tokens":
        return {"tokens": np.full((1, time_steps), b"a", object)}
    # Its length says that the last step does not count.
    return {
        "sequence": np.ones((1, time_steps, 2), np.float32),
        "length": np.array([time_steps - 1]),
    }


@pytest.mark.parametrize("content", ["tokens", "sequence"])
def test_rows_of_up_to_twice_the_time_are_padded_and_joined(
    models: dict[str, LoadedModel], content: str
) -> None:
    times = [4, 4, 5, 6, 7, 4, 8, 15, 3]
    answers, sizes = ask(models[content], [rows_of(content, size) for size in times])
    expected = [(size - (content == "sequence")) % 2 for size in times]
    assert [answer["class_id"].tolist() for answer in answers] == [[parity] for parity in expected]
    # 4 alone, at once; then the other rows of 4 to 7, those of 8 to 15, and the one of 3, of which
    # each found its own queue idle.
    assert sorted(sizes) == [1, 1, 2, 5]


def test_too_many_that_wait_are_refused(models: dict[str, LoadedModel]) -> None:
    answers, _ = ask(models["roots"], [floats(4)] * 6, max_queued=2)
    refused = [answer for answer in answers if isinstance(answer, RefusedError)]
    assert len(refused) == 3  # one runs, two wait
    assert {(error.status, error.retry_after) for error in refused} == {(503, 1)}
    assert [answer["y"].tolist() for answer in answers if not isinstance(answer, RefusedError)] == [
        [2.0]
    ] * 3
