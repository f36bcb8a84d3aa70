"""Tuning looks at held-out training rows, chooses the best and writes it down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from perdure.bench import Experiment, Results, tune, tuned
from perdure.bench.tuning import HELD_OUT, RATES, SEED, by_rate, by_settings


def test_trials_are_the_product_of_what_a_preset_names(small: Experiment) -> None:
    """But not of what the experiment sets itself."""
    free = by_settings(replace(small, method="der++"))
    assert 8 == len({trial.key for trial in free})
    bound = by_settings(replace(small, method="der++", settings={"alpha": 0.3}))
    assert [{"alpha": 0.3, "beta": 0.5}, {"alpha": 0.3, "beta": 1.0}] == [
        trial.settings for trial in bound
    ]
    assert [small] == by_settings(small)


def test_three_learning_rates_are_tried_and_one_is_its_own(small: Experiment) -> None:
    """Lower and higher by about three."""
    assert [small.lr * rate for rate in RATES] == [trial.lr for trial in by_rate(small)]
    assert small.key in {trial.key for trial in by_rate(small)}


def test_tuning_chooses_by_held_out_rows_and_resumes(small: Experiment, tmp_path: Path) -> None:
    """Every trial holds rows out and has another seed than any comparison; the best is taken."""
    wanted = replace(small, method="er", settings={"mix": "rows"})
    seen: list[int] = []

    def watch(events: object, count: int) -> None:
        seen.append(count)
        for _ in events:
            pass

    (choice,) = tune([wanted], tmp_path, 1, watch)
    records = Results(tmp_path / "tuning").read().values()
    assert {HELD_OUT} == {record.experiment.holdout for record in records}
    assert {SEED} == {record.experiment.seed for record in records}
    assert {wanted.schedule} == {record.experiment.schedule for record in records}
    best = max(records, key=lambda record: record.matrix.accuracy())
    assert best.matrix.accuracy() == choice.accuracy
    assert (best.experiment.lr, 3, "rows") == (choice.lr, choice.trials, choice.settings["mix"])
    assert choice.accuracy == json.loads((tmp_path / "tuned.json").read_text())[0]["accuracy"]
    assert [choice] == tune([wanted], tmp_path, 1, watch)
    assert [1, 2, 0, 0] == seen
    (then,) = tuned([wanted], [choice])
    assert (choice.lr, 0.0, wanted.seed) == (then.lr, then.holdout, then.seed)
