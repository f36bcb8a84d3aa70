"""The contract that every method passes; public, so that a plug-in's tests can run it too.

from perdure.testing import check_method

def test_my_method_keeps_the_contract():
    check_method(lambda: MyMethod(strength=2.0))
"""

from perdure.testing.comparison import (
    assert_same_state,
    frozen,
)
from perdure.testing.contract import (
    CHECKS,
    check_method,
)
from perdure.testing.state import (
    check_bounded_state,
    check_copies_live_apart,
    check_inputs_are_not_aliased,
    check_repr_round_trips,
    check_resume_is_exact,
    check_state_is_plain,
    check_unknown_keys_are_refused,
)
from perdure.testing.streams import (
    assert_finite,
    check_accumulation,
    check_empty_memory,
    check_half_precision,
    check_predict_is_pure,
    check_single_rows,
    check_unseen_labels,
    check_without_task_ids,
)
from perdure.testing.together import (
    check_order_is_free,
    check_ranks_agree,
)
from perdure.testing.worlds import (
    CLASSES,
    INPUTS,
    TASKS,
    Event,
    Make,
    as_methods,
    play,
    toy_events,
    toy_learner,
    toy_question,
)

__all__ = [
    "CHECKS",
    "CLASSES",
    "INPUTS",
    "TASKS",
    "Event",
    "Make",
    "as_methods",
    "assert_finite",
    "assert_same_state",
    "check_accumulation",
    "check_bounded_state",
    "check_copies_live_apart",
    "check_empty_memory",
    "check_half_precision",
    "check_inputs_are_not_aliased",
    "check_method",
    "check_order_is_free",
    "check_predict_is_pure",
    "check_ranks_agree",
    "check_repr_round_trips",
    "check_resume_is_exact",
    "check_single_rows",
    "check_state_is_plain",
    "check_unknown_keys_are_refused",
    "check_unseen_labels",
    "check_without_task_ids",
    "frozen",
    "play",
    "toy_events",
    "toy_learner",
    "toy_question",
]
