"""Jobs: asked for once, fixed when they start, given up when what they stand on is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure.live.database import Database
from perdure.live.jobs import Job, Jobs, check_goes_on, finish
from perdure.live.refusals import Conflict, NotFound


@pytest.fixture
def jobs(tmp_path: Path):
    database = Database(tmp_path / "perdure.db")
    yield Jobs(database)
    database.close()


def started(jobs: Jobs, after: int = 0, upto: int = 9) -> Job:
    return jobs.start(jobs.ask("update", "to test", "me").id, None, after, upto)


def ended(jobs: Jobs, number: int) -> None:
    jobs.database.transact(lambda c: finish(c, number, "done", version=3))


def test_asking_twice_is_one_job_until_it_has_ended(jobs: Jobs) -> None:
    """Two triggers at once start one update; another kind of work is another job."""
    first = jobs.ask("update", "one", "me")
    assert first == jobs.ask("update", "two", "you")
    assert first.id != jobs.ask("rebuild", "three", "me").id
    started(jobs)
    assert first.id == jobs.ask("update", "four", "me").id
    ended(jobs, first.id)
    assert first.id != jobs.ask("update", "five", "me").id


def test_a_job_keeps_what_was_fixed_when_it_started(jobs: Jobs) -> None:
    """Whoever takes it over after a crash learns the same examples."""
    job = started(jobs, 3, 8)
    again = jobs.start(job.id, 7, 100, 200)
    assert (None, 3, 8, 0) == (again.parent, again.after, again.upto, again.erasures)
    assert "running" == again.state


def test_the_running_job_comes_before_those_that_wait(jobs: Jobs) -> None:
    """And those in the order in which they were asked for."""
    assert jobs.open() is None
    first, second = jobs.ask("update", "one", "me"), jobs.ask("rebuild", "two", "me")
    assert first == jobs.open()
    jobs.start(second.id, None, 0, 1)
    assert second.id == jobs.open().id
    ended(jobs, second.id)
    ended(jobs, first.id)
    assert jobs.open() is None


def test_a_job_that_has_ended_stays_as_it_ended(jobs: Jobs) -> None:
    """Failing, finishing or cancelling it once more changes nothing."""
    job = started(jobs)
    ended(jobs, job.id)
    jobs.fail(job.id, "too late")
    with pytest.raises(Conflict):
        jobs.cancel(job.id, "me")
    assert ("done", 3, None) == (jobs.get(job.id).state, jobs.get(job.id).version, None)
    assert jobs.get(job.id).finished is not None


def test_progress_is_kept_beside_what_was_asked(jobs: Jobs) -> None:
    """Each beat changes what it names."""
    job = jobs.ask("update", "drift", "me", {"drift": 4})
    jobs.start(job.id, None, 0, 9)
    jobs.beat(job.id, batches=1, of=5)
    jobs.beat(job.id, batches=2)
    held = jobs.get(job.id)
    assert {"drift": 4, "batches": 2, "of": 5} == held.progress
    assert held.heartbeat >= held.started


def test_a_cancelled_job_hears_of_it_at_its_next_beat(jobs: Jobs) -> None:
    """Before it writes any result."""
    job = started(jobs)
    jobs.beat(job.id)
    assert "cancelled" == jobs.cancel(job.id, "ann").state
    with pytest.raises(Conflict, match="cancelled by ann"):
        jobs.beat(job.id)
    with pytest.raises(Conflict):
        jobs.database.transact(lambda c: check_goes_on(c, job.id))


def test_a_job_hears_of_an_erasure_at_its_next_beat(jobs: Jobs) -> None:
    """What it has learnt may be of the subject; one that starts later has not."""
    job = started(jobs)
    jobs.database.transact(lambda c: c.execute("INSERT INTO erased VALUES ('ab', 0, '{}')"))
    with pytest.raises(Conflict, match="erased"):
        jobs.beat(job.id)
    jobs.fail(job.id, "given up")
    later = started(jobs)
    jobs.beat(later.id)
    assert 1 == later.erasures


def test_a_job_that_does_not_exist_is_named(jobs: Jobs) -> None:
    """By its number."""
    with pytest.raises(NotFound, match="7"):
        jobs.get(7)
    with pytest.raises(Conflict):
        jobs.beat(7)


def test_the_list_is_the_newest_first(jobs: Jobs) -> None:
    """And no longer than asked for."""
    numbers = []
    for _ in range(5):
        numbers.append(started(jobs).id)
        ended(jobs, numbers[-1])
    assert numbers[:-4:-1] == [job.id for job in jobs.latest(limit=3)]
