"""When an update is due, and why not now."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.live import tiny

from perdure.errors import InvalidValue
from perdure.live import freezing, triggers, updater
from perdure.live.jobs import finish
from perdure.live.settings import TriggerSettings
from perdure.live.triggers import Facts, Trigger, decide, next_time, obstacle, why_not

DAY = 86_400.0
NOW = 10 * DAY + 3600.0
ALL = TriggerSettings(count=100, schedule="0 0 * * *", drift=True, accuracy_below=0.8)
DUE = Facts(rows=200, since=NOW - DAY, drift="adwin", accuracy=0.5, scored=200)

facts = st.builds(
    Facts,
    rows=st.integers(0, 300),
    since=st.floats(0, NOW),
    updated=st.none() | st.floats(0, NOW),
    drift=st.none() | st.just("adwin"),
    accuracy=st.none() | st.floats(0, 1),
    scored=st.integers(0, 500),
    flops=st.floats(0, 1e12),
    frozen=st.none() | st.just("ann: look first"),
    job=st.none() | st.integers(1, 9),
    observing=st.booleans(),
    failures=st.integers(0, 3),
    failed=st.floats(0, NOW),
)
settings = st.builds(
    TriggerSettings,
    count=st.none() | st.integers(1, 300),
    schedule=st.none() | st.sampled_from(["0 0 * * *", "*/5 * * * *"]),
    drift=st.booleans(),
    accuracy_below=st.none() | st.floats(0, 1),
    cooldown_seconds=st.floats(0, DAY),
    min_rows=st.integers(1, 200),
    budget_flops_per_day=st.none() | st.floats(1, 1e12),
)


@given(settings, facts)
def test_an_update_is_due_or_there_is_a_reason_why_not(said, held):
    """Never both, never neither; and nothing that stands against it is passed over."""
    trigger = decide(said, held, NOW)
    against = obstacle(said, held, NOW)
    assert trigger is None or against is None
    assert why_not(said, held, NOW)
    if against is not None:
        assert why_not(said, held, NOW) == against
    if held.frozen or held.observing or held.job or held.rows < said.min_rows:
        assert trigger is None


@given(settings, facts)
def test_a_trigger_is_one_that_was_set(said, held):
    """What is not in the settings calls for nothing."""
    trigger = decide(said, held, NOW)
    if trigger is not None:
        set_ = {
            "count": said.count is not None,
            "schedule": said.schedule is not None,
            "drift": said.drift,
            "accuracy": said.accuracy_below is not None,
        }
        assert set_[trigger.kind]


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        (TriggerSettings(count=200), "count", "200 new labelled rows came"),
        (TriggerSettings(schedule="0 0 * * *"), "schedule", "1970-01-11 00:00:00 UTC"),
        (TriggerSettings(drift=True), "drift", "adwin found a drift"),
        (TriggerSettings(accuracy_below=0.6), "accuracy", "50.0% of the last 200 answers"),
    ],
    ids=["count", "schedule", "drift", "accuracy"],
)
def test_each_trigger_by_itself_with_its_reason(said, kind, reason):
    """A sentence for people."""
    trigger = decide(said, DUE, NOW)
    assert trigger.kind == kind
    assert reason in trigger.reason


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        (TriggerSettings(count=201), "waits for 1 more labelled rows"),
        (TriggerSettings(schedule="0 3 * * *"), "waits for 1970-01-11 03:00:00 UTC"),
        (TriggerSettings(accuracy_below=0.5), "below 50.0% (50.0% now)"),
        (TriggerSettings(), "no trigger is set"),
    ],
    ids=["count", "schedule", "accuracy", "none"],
)
def test_what_is_not_due_says_what_it_waits_for(said, waits):
    """The same facts, with triggers just out of reach."""
    held = replace(DUE, since=NOW - 60)
    assert decide(said, held, NOW) is None
    assert waits in why_not(said, held, NOW)


def test_a_drift_comes_before_the_others():
    """It may end a task; then what the answers say; then the clock; then the count."""
    order, held = [], DUE
    for change in ({"drift": None}, {"accuracy": None}, {"since": NOW}, {}):
        order.append(decide(ALL, held, NOW).kind)
        held = replace(held, **change)
    assert order == ["drift", "accuracy", "schedule", "count"]
    assert decide(ALL, DUE, NOW).to_dict()["drift"]
    assert not Trigger("count", "").to_dict()["drift"]


@pytest.mark.parametrize(
    ("change", "said", "reason"),
    [
        ({"frozen": "ann: look first"}, {}, "frozen by ann: look first"),
        ({"observing": True}, {}, "mode is observe"),
        ({"job": 7}, {}, "update 7 waits or runs"),
        ({"rows": 3}, {"min_rows": 5}, "an update needs 5"),
        ({"updated": NOW - 10}, {"cooldown_seconds": 60}, "cooling down until 1970-01-11 01:00:50"),
        ({"flops": 2e9}, {"budget_flops_per_day": 1e9}, "budget is spent: 2e+09 of 1e+09"),
        ({"failures": 1, "failed": NOW - 59}, {}, "came to nothing"),
    ],
    ids=["frozen", "observe", "job", "rows", "cooldown", "budget", "failed"],
)
def test_what_stands_against_an_update_is_said(change, said, reason):
    """Whatever calls for one."""
    held, settings_ = replace(DUE, **change), ALL.model_copy(update=said)
    assert decide(settings_, held, NOW) is None
    assert reason in why_not(settings_, held, NOW)


def test_updates_that_come_to_nothing_are_tried_again_ever_later():
    """After one, two, four minutes, and after an hour at most."""
    waits = []
    for failures in (1, 2, 3, 30):
        held = replace(DUE, failures=failures, failed=NOW)
        waits.append(next(s for s in range(0, 7200, 60) if decide(ALL, held, NOW + s) is not None))
    assert waits == [60, 120, 240, 3600]


def test_a_few_answers_are_no_accuracy():
    """Thirty are."""
    said = TriggerSettings(accuracy_below=0.8)
    assert decide(said, replace(DUE, scored=29), NOW) is None
    assert decide(said, replace(DUE, scored=30), NOW) is not None


def test_a_schedule_that_was_missed_often_is_made_up_for_once():
    """Ten nights without the machine: one update."""
    said = TriggerSettings(schedule="0 0 * * *")
    assert decide(said, replace(DUE, since=0.0), NOW) is not None
    assert decide(said, replace(DUE, since=NOW), NOW) is None


def test_cron_expressions_are_read_in_utc():
    """Half past three on the first day of the month."""
    assert next_time("30 3 1 * *", 0.0) == 12_600.0
    with pytest.raises(InvalidValue, match="minute, hour"):
        next_time("at night", 0.0)
    with pytest.raises(InvalidValue, match="cron"):
        next_time("0 0 31 2 *", 0.0)


# -- of a project --------------------------------------------------------------------------------


def ended(project, state="done", upto=0):
    """An update that ended."""
    job = project.jobs.ask("update", "a test", "me")
    project.jobs.start(job.id, None, 0, upto)
    project.database.transact(lambda c: finish(c, job.id, state))
    return project.jobs.get(job.id)


def test_a_new_project_waits_for_rows(tmp_path):
    """And says so; rows make its update due."""
    with tiny.project(tmp_path, {"triggers": {"count": 10}}) as project:
        assert triggers.due(project, NOW) is None
        assert "an update needs 1" in triggers.explain(project, NOW)["reason"]
        project.log.append(tiny.rows(0, 30)).result()
        now = project.log.count(0)
        assert triggers.due(project, NOW).reason.startswith(f"{now} new labelled rows")
        assert triggers.explain(project, NOW)["due"] == "count"


def test_rows_that_an_update_has_had_call_for_no_other_one(tmp_path):
    """Whatever became of it; an update that failed has had none."""
    with tiny.project(tmp_path, {"triggers": {"count": 1}}) as project:
        project.log.append(tiny.rows(0, 30)).result()
        ended(project, upto=30)
        assert triggers.facts(project, NOW).rows == 0
        project.log.append(tiny.rows(30, 30)).result()
        failed = ended(project, "failed", upto=60)
        held = triggers.facts(project, failed.finished)
        assert held.rows > 0
        assert (held.failures, held.failed) == (1, failed.finished)


def test_facts_of_a_project_with_everything_in_it(tmp_path):
    """Each from its table."""
    with tiny.project(tmp_path, {"update": {"mode": "observe"}}) as project:
        project.log.append(tiny.rows(0, 10)).result()
        job = ended(project, upto=4)

        def work(connection):
            entry = '{"flops": 5000.0}'
            connection.execute("INSERT INTO ledger VALUES (?, 1, ?)", (job.id, entry))
            connection.executemany(
                "INSERT INTO drifts (at, seq, detector, detail) VALUES (?, 5, ?, '{}')",
                [(job.created - 9, "adwin"), (job.created + 9, "features"),
                 (job.created + 10, "scenario")],
            )  # fmt: skip
            connection.execute(
                "INSERT INTO versions (version, after, upto, created, state, digest, bytes, note)"
                " VALUES (1, 0, 4, 0.0, 'blessed', '', 0, '{}')"
            )
            connection.execute("INSERT INTO aliases VALUES ('champion', 1)")
            connection.executemany(
                "INSERT INTO outcomes VALUES (?, ?, ?, 1, NULL, NULL, 0.5, 0, 0.0)",
                [(3, 1, 1), (5, 1, 1), (6, 1, 0), (7, 2, 0), (8, 1, 0)],
            )

        project.database.transact(work)
        freezing.freeze(project.database, "ann", "look first")
        waiting = project.jobs.ask("update", "another", "me")
        held = triggers.facts(project, job.finished + 9)
        assert held == Facts(
            rows=project.log.count(4),
            since=job.created,
            updated=job.finished,
            drift="features",
            accuracy=1 / 3,
            scored=3,
            flops=5000.0,
            frozen="ann: look first",
            job=waiting.id,
            observing=True,
        )
        assert triggers.facts(project, job.finished + 2 * DAY).flops == 0.0


def test_a_drift_is_acted_on_once(tmp_path):
    """The update that is asked for after it answers it."""
    with tiny.project(tmp_path, {"triggers": {"drift": True}}) as project:
        project.log.append(tiny.rows(0, 10)).result()
        project.database.transact(
            lambda c: c.execute("INSERT INTO drifts VALUES (1, 1.0, 5, 'adwin', '{}')")
        )
        assert triggers.due(project, time.time()).kind == "drift"
        ended(project, upto=5)
        assert triggers.due(project, time.time()) is None
        assert triggers.explain(project, time.time())["reason"] == "waits for a drift"


def test_an_update_that_would_learn_the_same_again_is_not_due(tmp_path):
    """Where a person is to promote and does not, `max_rows` behind the champion are learnt once."""
    said = {"update": {"mode": "recommend", "max_rows": 20}, "triggers": {"count": 10}}
    with tiny.project(tmp_path, said) as project, tiny.quick_gate():
        project.log.append(tiny.rows(0, 100)).result()
        assert updater.turn(project).state == "done"
        assert updater.turn(project) is None
        why = triggers.explain(project, time.time())["reason"]
        assert f"{project.log.count(0) - 20} labelled rows lie beyond" in why
        project.registry.promote(1, actor="me", reason="good")
        assert updater.turn(project).after == project.registry.get(1).upto


def test_a_clock_that_is_put_back_holds_nothing_up(tmp_path, monkeypatch):
    """An update of next year is no reason to cool down until then."""
    real, ahead = time.time, 365 * DAY
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    said = {"triggers": {"count": 10, "cooldown_seconds": 600.0, "budget_flops_per_day": 1.0}}
    with tiny.project(tmp_path, said) as project, tiny.quick_gate():
        drift = "INSERT INTO drifts (at, seq, detector, detail) VALUES (?, 0, 'adwin', '{}')"
        project.database.transact(lambda c: c.execute(drift, (time.time(),)))
        project.log.append(tiny.rows(0, 40)).result()
        assert updater.turn(project).state == "done"
        ended(project, "failed", upto=40)
        project.log.append(tiny.rows(40, 40)).result()
        assert "came to nothing" in triggers.explain(project, time.time())["reason"]
        ahead = 0.0
        held = triggers.facts(project, time.time())
        assert (held.updated, held.failed, held.flops, held.drift) == (None, 0.0, 0.0, None)
        assert next_time("0 0 * * *", held.since) < time.time()
        assert updater.turn(project).state == "done"
