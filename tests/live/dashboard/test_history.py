"""Versions, verdicts and the audit."""

from __future__ import annotations

import json

from tests.live.dashboard import story

from perdure.live import audit
from perdure.live.project import Project
from perdure.live.service.dashboard.views import history


def test_versions_come_newest_first_with_their_verdicts(lived: Project) -> None:
    """Every reason and every rule is there."""
    found = history.versions(lived)
    assert [4, 3, 2, 1] == [entry.version.version for entry in found]
    for entry in found:
        number = entry.version.version
        (said,) = entry.verdicts
        assert story.verdict(number, story.WORDS[number], said.verdict.champion) == said.verdict


def test_versions_know_when_they_served(project: Project) -> None:
    """A version that served twice has two stretches, the latest first."""
    project.registry.promote(1, actor="ada", reason="again")
    served = {entry.version.version: entry.served for entry in history.versions(project)}
    assert 2 == len(served[1])
    assert served[1][0][1] is None
    assert served[1][1][1] is not None
    assert () == served[4]


def test_the_number_of_versions_is_limited(lived: Project) -> None:
    """The latest."""
    assert [4, 3] == [entry.version.version for entry in history.versions(lived, limit=2)]
    assert [] == history.versions(lived, limit=0)


def test_a_version_that_the_gate_mixed_and_its_source_know_each_other(project: Project) -> None:
    """One says what it is made of, the other what became of it."""
    note = json.dumps({"rows": 1, "interpolated": {"from": 2, "share": 0.25}})
    project.database.transact(
        lambda c: c.execute("UPDATE versions SET note = ? WHERE version = 3", (note,))
    )
    by_number = {entry.version.version: entry for entry in history.versions(project)}
    assert (0.25, 2) == by_number[3].mixed
    assert 3 == by_number[2].became
    assert by_number[4].mixed is by_number[4].became is None


def test_the_audit_comes_newest_first_a_page_at_a_time(project: Project) -> None:
    """`before` goes on where the last page ended."""
    first = history.audit(project, limit=2)
    rest = history.audit(project, before=first[-1].id)
    ids = [act.id for act in (*first, *rest)]
    assert sorted(ids, reverse=True) == ids
    assert len(set(ids)) == len(ids) == project.database.value("SELECT count(*) FROM audit")


def test_an_entry_says_who_what_why_and_the_rest(project: Project) -> None:
    """In plain words: lists without brackets, nothing for what is not known."""
    detail = {"reason": "spring", "from": None, "roles": ["predict", "ingest"], "rows": 7}
    project.database.transact(lambda c: audit.write(c, "ada", "token", detail))
    (act,) = history.audit(project, limit=1)
    assert ("ada", "token", "spring") == (act.actor, act.action, act.reason)
    assert (("roles", "predict ingest"), ("rows", "7")) == act.detail


def test_before_the_first_version_nothing_has_happened(fresh: Project) -> None:
    """Both lists are empty."""
    assert [] == history.versions(fresh) == history.audit(fresh)
