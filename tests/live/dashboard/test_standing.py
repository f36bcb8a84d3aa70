"""Who serves, who wants to, and what waits."""

from __future__ import annotations

import pytest
from tests.live import tiny
from tests.live.dashboard import story

from perdure.live.project import Project
from perdure.live.service.dashboard.views import standing


def test_champion_and_challenger_have_a_card_each(lived: Project) -> None:
    """With what the gate said, and how they do on the held-out rows."""
    champion, challenger = standing.cards(lived)
    assert ("champion", 3) == (champion.alias, champion.version.version)
    assert ("challenger", 4) == (challenger.alias, challenger.version.version)
    assert 26 / 30 == pytest.approx(champion.accuracy)
    assert challenger.verdict is not None
    assert "not enough evidence" == challenger.verdict.word


def test_only_who_serves_has_a_time_since(lived: Project) -> None:
    """The champion."""
    champion, challenger = standing.cards(lived)
    assert champion.since is not None
    assert challenger.since is None


def test_a_card_knows_the_update_that_made_its_version(project: Project) -> None:
    """Until the job is let go; the card stays."""
    assert "40 new rows" == standing.cards(project)[0].job.reason
    project.database.transact(lambda c: c.execute("DELETE FROM jobs"))
    assert standing.cards(project)[0].job is None


def test_a_version_with_two_aliases_has_one_card(project: Project) -> None:
    """Named by the first, with the other beside it."""
    project.registry.alias("shadow", 4, actor="ada")
    card = standing.cards(project)[1]
    assert ("challenger", ("shadow",)) == (card.alias, card.others)
    assert 2 == len(standing.cards(project))


def test_before_the_first_version_there_is_no_card(fresh: Project) -> None:
    """Nor work, nor anything that waits."""
    assert [] == standing.cards(fresh)
    assert standing.work(fresh) is None
    assert standing.queue(fresh).since is None


def test_a_version_that_was_not_measured_has_no_accuracy(project: Project) -> None:
    """Rather than 0."""
    story.version(project)
    (card,) = (one for one in standing.cards(project) if one.version.version == 5)
    assert card.accuracy is None
    assert card.verdict is None


def test_what_cannot_serve_is_not_promotable(project: Project) -> None:
    """The champion itself, a version without files, and one that learnt from an erased subject."""
    change(project, "UPDATE versions SET state = 'removed' WHERE version = 1")
    change(project, "UPDATE versions SET tainted = 1.0 WHERE version = 2")
    assert {4} == standing.promotable(project, project.registry.all())


def test_a_tainted_version_may_follow_a_tainted_one(project: Project) -> None:
    """It makes nothing worse, and may be all there is."""
    change(project, "UPDATE versions SET tainted = 1.0 WHERE version IN (2, 3)")
    assert {1, 2, 4} == standing.promotable(project, project.registry.all())


def test_the_last_job_is_shown_until_another_one_waits(project: Project) -> None:
    """What runs or waits comes first."""
    assert (4, False) == (standing.work(project).job.id, standing.work(project).open)
    asked = project.jobs.ask("update", "more", "ada")
    assert (asked.id, True) == (standing.work(project).job.id, standing.work(project).open)


def test_progress_is_counted_in_batches(project: Project) -> None:
    """None before the first one."""
    asked = project.jobs.ask("update", "more", "ada")
    assert (None, None) == (standing.work(project).done, standing.work(project).total)
    project.jobs.start(asked.id, 3, 120, 120)
    project.jobs.beat(asked.id, batches=3, of=12)
    assert (3, 12) == (standing.work(project).done, standing.work(project).total)


def test_the_queue_says_since_when_rows_wait(project: Project) -> None:
    """The oldest that the champion has not learnt, not the newest."""
    assert standing.queue(project).since is None
    rows = [tiny.row(i, subject=f"t{i}") for i in range(500, 520)]
    project.log.append(rows).result()
    oldest = project.database.value(
        "SELECT min(labelled) FROM examples WHERE seq > 120 AND use = 'train'"
    )
    assert oldest == standing.queue(project).since


def test_the_queue_counts_held_out_and_anchor_rows_apart(project: Project) -> None:
    """As they lie in the evaluation memory."""
    values = [(key, span, b"") for key, span in enumerate((-1, 1, 1))]
    project.database.transact(
        lambda c: c.executemany(
            "INSERT INTO evaluation (key, span, label, part, x) VALUES (?, ?, 0, 'evaluation', ?)",
            values,
        )
    )
    held = standing.queue(project)
    assert (2, 1) == (held.held_out, held.anchor)


def change(project: Project, sql: str) -> None:
    project.database.transact(lambda c: c.execute(sql))
