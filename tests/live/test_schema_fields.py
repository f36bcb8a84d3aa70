"""Which columns of a file are no features."""

from __future__ import annotations

import pytest

from perdure.live.schema import Fields


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        (["a", "b"], {}),
        (["a", "label", "class"], {"label": "label"}),
        (["Target", "ID"], {"label": "Target", "id": "ID"}),
        (["a", "y"], {"label": "y"}),
        (
            ["event_time", "user_id", "source", "task", "x"],
            {"time": "event_time", "subject": "user_id", "source": "source", "task": "task"},
        ),
    ],
)
def test_columns_are_found_by_custom(columns, found):
    """In any case of letters, the more usual name first."""
    assert found == Fields().found(columns)


def test_a_column_that_is_named_goes_before_custom():
    """And is left alone as anything else."""
    fields = Fields(label="id", subject="who")
    assert {"label": "id", "subject": "who", "source": "source"} == fields.found(
        ["id", "who", "source", "class"]
    )
    assert {"label": "id", "subject": "who"} == fields.named()


def test_a_named_column_that_is_absent_is_not_replaced_by_custom():
    """Rows without labels stay without."""
    assert {} == Fields(label="species").found(["a", "class"])


def test_a_feature_is_a_feature_whatever_it_is_called():
    """And so is what is ignored never anything."""
    fields = Fields(ignore=("id",))
    assert {"label": "label"} == fields.found(["y", "label", "task", "id"], features=["y", "task"])
