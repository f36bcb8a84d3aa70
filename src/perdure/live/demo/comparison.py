"""What the demo comes to: the loop beside those who do without one, in one table."""

from __future__ import annotations

from collections.abc import Sequence

from perdure.live.demo.play import REST, Played
from perdure.live.demo.rivals import Rival, fine_tuned, from_scratch, of_versions
from perdure.live.demo.scenes import Scene
from perdure.live.ledger import entries
from perdure.live.project import Project
from perdure.live.report import Section
from perdure.live.update import schedule_of


def rivals(project: Project, played: Played, learnt: Sequence[Scene]) -> list[Rival]:
    """The first version left alone, naive fine-tuning, the loop, and training from scratch.

    Args:
        project: of the demo, after it.
        played: what came of it.
        learnt: the scenes that were to be learnt from.
    """
    spent = [entry.flops for entry in entries(project) if entry.version <= played.last]
    firsts = [played.champions[0]] * len(learnt)
    return [
        of_versions("left alone", project, firsts, learnt, spent[0]),
        fine_tuned(project, learnt),
        of_versions("perdure, live", project, played.champions, learnt, sum(spent)),
        from_scratch(project, learnt),
    ]


def comparison(project: Project, found: Sequence[Rival], learnt: Sequence[Scene]) -> Section:
    """How each did, and what its numbers rest on.

    Args:
        project: of the demo.
        found: as `rivals` returns them.
        learnt: the scenes that were to be learnt from.
    """
    names = [scene.name for scene in learnt]
    heads = [name.removeprefix("digits ") for name in names]
    return Section(
        "Accuracy on each scene in the end, %",
        ("", *heads, "mean", "forgetting", "GFLOP"),
        [_row(rival, names) for rival in found],
        _note(project),
        emphasis=next(i for i, rival in enumerate(found) if rival.name == "perdure, live"),
    )


def _row(rival: Rival, names: Sequence[str]) -> tuple[str, ...]:
    matrix = rival.matrix(names)
    shares = (*rival.accuracy[-1], matrix.accuracy(), matrix.forgetting())
    return (rival.name, *map(_percent, shares), f"{rival.flops / 1e9:.2f}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _note(project: Project) -> str:
    passes = schedule_of(project.settings).epochs
    share = project.settings.evaluation.share
    return (
        "On test rows that nobody learnt; forgetting is how far the first scenes fell from their "
        f"best, in percentage points. All have the same network, optimiser, batches and {passes} "
        "passes over what they train on: naive fine-tuning over each scene's rows alone, from "
        "scratch over all rows so far, anew at each scene. Both learn every row; the loop holds "
        f"{share:.0%} out for its gate, has not learnt the last {REST} rows yet, and replays a "
        "remembered row beside each new one, which its GFLOP include. Measuring is in nobody's "
        "GFLOP: neither the gate nor the twins."
    )
