import threading

import pytest

from components.trainer.distributed.cluster import Cluster
from components.trainer.distributed.rendezvous import meet
from seqline.errors import UserError
from tests.support.training import free_ports


def members(count: int) -> list[Cluster]:
    ports = free_ports(count)
    return [
        Cluster(
            tuple(("worker", index, f"localhost:{port}") for index, port in enumerate(ports)),
            number,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("number", "message"),
    [(0, r"worker 1 \(.*did not come within 1 s"), (1, r"worker 0 \(.*did not answer within 1 s")],
)
def test_a_worker_that_waits_for_nobody_says_so(number: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        meet(members(2)[number], {}, {}, 1.0)


def test_workers_meet_and_notice_who_is_gone() -> None:
    met, three = {}, members(3)

    def come(number: int) -> None:
        met[number] = meet(three[number], {"seed": 1}, {"step": 7}, 60.0)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [met[number][1] for number in range(3)] == [{"step": 7}] * 3
    links = [met[number][0] for number in range(3)]
    assert links[0].gone == {}
    links[1].close(is_orderly=True)
    assert links[0].who_is_gone(30.0) == {1: "ended"}
    links[2].close(is_orderly=False)
    with links[0].changed:
        assert links[0].changed.wait_for(lambda: len(links[0].gone) == 2, 30.0)
    assert links[0].gone == {1: "ended", 2: "was lost"}
    links[0].close(is_orderly=True)


def test_workers_with_other_settings_are_refused_on_both_sides() -> None:
    errors, two = {}, members(2)

    def come(number: int) -> None:
        try:
            meet(two[number], {"trainer.seed": number}, {}, 60.0)
        except UserError as error:
            errors[number] = str(error)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "does not train the same" in errors[0]
    assert "trainer.seed 1 there, 0 here" in errors[0]
    assert errors[0] == errors[1]
