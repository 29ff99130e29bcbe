"""Names of fields within objects."""

from seqline.rows.nested import fields_of, look_up


def test_all_fields_by_the_names_that_find_them() -> None:
    row = {
        "id": 1,
        "review": {"text": "a", "by": {"id": 2}},
        "messages": [{"content": "b"}, {"content": "c"}],
        "tags": ["x"],
        # The first name finds the field of exactly this name, not the one in the object.
        "a.b": 3,
        "a": {"b": 4, "c": None},
        "": {},
    }
    fields = fields_of(row)
    assert fields == {
        "id": 1,
        "review.text": "a",
        "review.by.id": 2,
        "messages.0.content": "b",
        "tags": ["x"],
        "a.b": 3,
        "a.c": None,
    }
    assert {name: look_up(row, name) for name in fields} == fields


def test_no_more_fields_than_a_message_lists() -> None:
    assert len(fields_of({"counts": {str(number): number for number in range(1000)}})) == 200
