"""Parts of pages: what they say in every state, and how often they are made."""

from __future__ import annotations

import json

import pytest
from tests.live.dashboard import story

from perdure.live import freezing
from perdure.live.project import Project
from perdure.live.service.dashboard import renewal
from perdure.live.service.dashboard.pages import PAGES, Look, Page, digest, render_parts
from perdure.live.service.dashboard.renewal import renewed
from perdure.live.service.security import Caller
from perdure.live.service.service import Service
from perdure.live.tokens import Token

EMPTY = {
    "cards": "No version serves yet",
    "curve": "No answer has met its label yet",
    "drifts": "No drift found",
    "heatmap": "Nothing has been measured yet",
    "groups": "No answer has met its label yet",
    "versions": "No version yet",
    "memory": "No champion, no memory",
    "savings": "No update has been made yet",
    "audit": "Nothing has been done yet",
}


def look(project: Project, roles: str = "admin", **said: str) -> Look:
    """Somebody who looks at a project."""
    token = Token("0", "ada", frozenset(roles.split()), 0.0)
    return Look(Service(project), Caller("ada", token), "", said)


def part(project: Project, name: str, roles: str = "admin", **said: str) -> str:
    """What a part says, in one line."""
    page = Page("any", "Any", (name,))
    return " ".join(render_parts(page, look(project, roles, **said))[name].split())


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_part_says_what_to_do_next(fresh: Project, name: str) -> None:
    """Before the first row, every part is there."""
    text = part(fresh, name)
    assert EMPTY[name] in text
    assert 'class="empty"' in text


@pytest.mark.parametrize("name", PAGES)
def test_every_page_can_be_made_before_the_first_row(fresh: Project, name: str) -> None:
    """By whoever looks."""
    for roles in ("predict", "admin"):
        assert PAGES[name].parts == tuple(render_parts(PAGES[name], look(fresh, roles)))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_the_same_as_long_as_nothing_changes(lived: Project, name: str) -> None:
    """Times are absolute in the text, so that they do not make it another one."""
    first, second = (render_parts(PAGES[name], look(lived)) for _ in range(2))
    assert digest(first) == digest(second)


def test_what_people_wrote_is_text(project: Project) -> None:
    """Reasons, names and errors never become markup."""
    evil = "<img src=x onerror=alert(1)>"
    freezing.freeze(project.database, "ada", evil)
    job = project.jobs.ask("update", evil, "ada")
    project.jobs.fail(job.id, evil)
    project.registry.promote(4, actor="ada", reason=evil)
    for name in ("warnings", "cards", "loop", "audit", "versions"):
        assert "<img" not in part(project, name)
    assert "&lt;img" in part(project, "audit")


def test_warnings_are_those_of_the_status(project: Project) -> None:
    """Frozen, tainted, failed; and versions that this process could not load."""
    assert "" == part(project, "warnings")
    freezing.freeze(project.database, "ada", "no label is right")
    project.database.transact(lambda c: c.execute("UPDATE versions SET tainted = 1.0"))
    job = project.jobs.ask("update", "more", "ada")
    project.jobs.fail(job.id, "there is nothing to learn")
    seen = look(project)
    seen.service.server.failures[4] = "OSError: gone"
    text = render_parts(Page("any", "Any", ("warnings",)), seen)["warnings"]
    for said in ("no label is right", "was erased", "nothing to learn", "Version 4 cannot be"):
        assert said in text


def test_a_verdict_shows_every_reason_and_every_rule_with_its_numbers(lived: Project) -> None:
    """Differences with a sign, ratios without."""
    text = part(lived, "versions")
    for number in range(1, 5):
        assert f"reason one of {number}" in text
        assert f"reason two of {number}" in text
        assert f"rule one of {number}" in text
        assert f"rule two of {number}" in text
    for said in ("+2.1", "[−1.0, +5.0]", "−2.0", "0.4", "1.25", "3.00", "blocks"):  # noqa: RUF001
        assert said in text


def test_a_mixed_version_and_its_source_are_told(project: Project) -> None:
    """What the gate made of a refused version."""
    note = json.dumps({"rows": 1, "interpolated": {"from": 2, "share": 0.25}})
    project.database.transact(
        lambda c: c.execute("UPDATE versions SET note = ? WHERE version = 4", (note,))
    )
    text = part(project, "versions")
    assert "25 % of the weights are those of" in text
    assert "see v4" in text


def test_a_tainted_version_says_why_it_cannot_serve(project: Project) -> None:
    """And has no button."""
    assert 'id="promote-v4"' in part(project, "versions")
    project.database.transact(
        lambda c: c.execute("UPDATE versions SET tainted = 1.0 WHERE version = 4")
    )
    text = part(project, "versions")
    assert 'id="promote-v4"' not in text
    assert "erased" in text


def test_progress_of_a_job_is_a_bar(project: Project) -> None:
    """With numbers for those who do not see it."""
    job = project.jobs.ask("update", "more", "ada")
    project.jobs.start(job.id, 3, 120, 120)
    project.jobs.beat(job.id, batches=1, of=3)
    text = part(project, "loop")
    assert 'value="1" max="3"' in text
    assert "1 of 3 batches learnt" in text


def test_a_failed_job_says_why(project: Project) -> None:
    """Where it was asked for."""
    job = project.jobs.ask("update", "more", "ada")
    project.jobs.fail(job.id, "the disk is full")
    assert "the disk is full" in part(project, "loop")


def test_buttons_are_off_for_those_who_may_not(lived: Project) -> None:
    """With the reason beside them."""
    text = part(lived, "loop", "predict ingest")
    assert text.count("<button") == text.count("disabled title=")
    assert "lacks the role operate" in text
    assert "disabled" not in part(lived, "loop", "operate")


def test_the_promotion_carries_the_generation_that_was_seen(lived: Project) -> None:
    """So that it is refused where somebody was faster."""
    generation = lived.registry.generation()
    assert f"&#34;if_generation&#34;: {generation}" in part(lived, "cards")


def test_the_heat_map_says_numbers_in_words(lived: Project) -> None:
    """Nothing is said by colour alone."""
    text = part(lived, "heatmap")
    assert "9 of 10 rows right" in text
    assert "90.0" in text
    assert 'aria-label="not measured"' in text


def test_a_drop_beyond_the_gates_limit_is_marked(project: Project) -> None:
    """Here the gate allows everything, so nothing is; then 15%, so one cell is."""
    assert "heat-drop" not in part(project, "heatmap")
    seen = look(project)
    gate = project.settings.gate.model_copy(update={"max_forgetting": 0.15})
    project.settings = project.settings.model_copy(update={"gate": gate})
    text = render_parts(Page("any", "Any", ("heatmap",)), seen)["heatmap"]
    assert 1 == text.count('class="heat-drop"')


def test_older_versions_are_a_link_away(lived: Project) -> None:
    """In the heat map and in the list."""
    assert "2 older versions" in part(lived, "heatmap", versions="2")
    assert "Older versions" in part(lived, "versions", limit="2")
    assert "Older versions" not in part(lived, "versions")


@pytest.mark.parametrize("wrong", ["", "x", "-1", "²", "1e9", "9" * 30])
def test_a_query_that_makes_no_sense_changes_nothing(lived: Project, wrong: str) -> None:
    """Or asks for as much as there may be."""
    assert "v4" in part(lived, "versions", limit=wrong)
    assert "v4" in part(lived, "heatmap", versions=wrong, slice=wrong)
    assert part(lived, "audit", before=wrong)


def test_the_audit_goes_on_where_the_page_ended(lived: Project) -> None:
    """By the number of its last entry."""
    assert "promote: 3 is good" in part(lived, "audit")
    older = part(lived, "audit", before="2")
    assert "promote: 3 is good" not in older
    assert "promote: 1 is good" in older


def test_a_page_is_not_made_anew_for_every_glance(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What took long is kept for long, up to a limit; who asks for a fresh one gets it."""
    monkeypatch.setattr(renewal, "SHARE", 1e-9)
    page, seen = PAGES["versions"], look(project)
    first = renewed(page, seen)
    story.version(project)
    assert first is renewed(page, seen)
    again = Look(seen.service, seen.caller, "", {"fresh": ""})
    assert "v5" in renewed(page, again)["versions"]
    assert "v5" in renewed(page, seen)["versions"]


def test_nobody_is_shown_what_was_made_for_another(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page belongs to a name, its roles and its query."""
    monkeypatch.setattr(renewal, "SHARE", 1e-9)
    boss = look(project, "admin")
    till = Look(boss.service, Caller("ada", Token("1", "ada", frozenset({"predict"}), 0.0)))
    assert "promote: 3 is good" in renewed(PAGES["audit"], boss)["audit"]
    assert "promote: 3 is good" not in renewed(PAGES["audit"], till)["audit"]
    older = Look(boss.service, boss.caller, "", {"before": "2"})
    assert renewed(PAGES["audit"], boss)["audit"] != renewed(PAGES["audit"], older)["audit"]


def test_pages_in_memory_are_bounded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever queries people make up."""
    monkeypatch.setattr(renewal, "PAGES", 3)
    seen = look(project)
    for number in range(1, 9):
        renewed(PAGES["audit"], Look(seen.service, seen.caller, "", {"before": str(number)}))
    assert 3 == len(renewal._HELD[seen.service])
