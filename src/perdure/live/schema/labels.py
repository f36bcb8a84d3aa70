"""Names of classes."""

from __future__ import annotations

from typing import Any

from perdure.live.refusals import RowRefused
from perdure.live.schema.numeric import as_name

LONGEST = 200


def class_name(label: Any) -> str:
    """The class that a label names: a text without space around it, or an integer as it prints.

    Raises:
        RowRefused: it is empty, too long, holds a control character, or is neither.
    """
    name = as_name(label)
    if name is None:
        raise RowRefused("give the class by its name", field="label", value=label)
    name = name.strip()
    if not 0 < len(name) <= LONGEST or not name.isprintable():
        raise RowRefused(
            f"a class is named by 1 to {LONGEST} characters on one line", field="label", value=label
        )
    return name
