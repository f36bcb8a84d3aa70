"""What was tuned is what is compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perdure.bench import Experiment, read_choices, tuned, write_choices
from perdure.bench.tuning import Choice
from perdure.errors import InvalidValue

CHOSEN = Choice("der++", "class", {"alpha": 0.3, "beta": 1.0, "capacity": 50}, 3e-3, 0.9, 12)


def test_choices_come_back_as_they_were_written(tmp_path: Path) -> None:
    """All of them, in their order."""
    choices = [CHOSEN, replace(CHOSEN, method="naive", settings={})]
    write_choices(choices, tmp_path / "tuned.json")
    assert choices == read_choices(tmp_path / "tuned.json")


def test_an_experiment_takes_what_was_chosen_for_it(small: Experiment) -> None:
    """Settings and learning rate; seed and rows to measure on stay, and what it set itself."""
    wanted = replace(small, method="der++", scenario="class", settings={"alpha": 0.5})
    (then,) = tuned([wanted], [CHOSEN])
    assert {"alpha": 0.5, "beta": 1.0, "capacity": 50} == then.settings
    assert (3e-3, 0.0, wanted.seed) == (then.lr, then.holdout, then.seed)


def test_what_was_not_tuned_is_not_compared_silently(small: Experiment) -> None:
    """Nor is another scenario's choice taken."""
    for wanted in (replace(small, method="er"), replace(small, method="der++", scenario="domain")):
        with pytest.raises(InvalidValue, match=f"nothing was tuned for {wanted.method}"):
            tuned([wanted], [CHOSEN])


@pytest.mark.parametrize("text", ["{", "[1]", '[{"method": "er"}]'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    """With its name; and so is none."""
    path = tmp_path / "tuned.json"
    with pytest.raises(InvalidValue, match="is not there"):
        read_choices(path)
    path.write_text(text)
    with pytest.raises(InvalidValue, match=r"tuned\.json is not what"):
        read_choices(path)
