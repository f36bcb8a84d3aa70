"""Every promise of the contract, and the one call that holds a method to all of them."""

from __future__ import annotations

from collections.abc import Callable

from perdure.testing import state, streams
from perdure.testing.worlds import Make

CHECKS: tuple[Callable[[Make], None], ...] = (
    state.check_resume_is_exact,
    state.check_copies_live_apart,
    streams.check_predict_is_pure,
    streams.check_single_rows,
    streams.check_unseen_labels,
    streams.check_empty_memory,
    streams.check_half_precision,
    streams.check_accumulation,
    state.check_bounded_state,
    state.check_state_is_plain,
    state.check_unknown_keys_are_refused,
    state.check_repr_round_trips,
    state.check_inputs_are_not_aliased,
    streams.check_without_task_ids,
)


def check_method(make: Make) -> None:
    """Run every check of the contract on what `make()` returns: one method, or several together.

    Args:
        make: gives fresh methods at each call.

    Raises:
        AssertionError: a promise is broken; the message says which and where.
    """
    for check in CHECKS:
        check(make)
