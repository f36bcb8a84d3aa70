"""The held-out memory under any sequence of events."""

from __future__ import annotations

import tempfile
from importlib import util
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from perdure.live import evaluation, spans
from perdure.live.labels import Label

CAPACITY, SPANS = 12, 3


def new_line(directory):
    """The projects of `conftest`, outside a fixture."""
    spec = util.spec_from_file_location("lines", Path(__file__).parent / "conftest.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Line(directory, capacity=CAPACITY, max_spans=SPANS)


class HeldOutMemory(RuleBasedStateMachine):
    """Rows come, are relabelled and erased; spans close; the memory is read after each."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.one = new_line(Path(self.folder.name) / "project")
        self.sent = 0
        self.erased = set()

    def teardown(self):
        self.one.project.close()
        self.folder.cleanup()

    @rule(count=st.integers(1, 30))
    def send(self, count):
        subject = f"person-{self.sent}"
        self.one.send(self.one.rows(self.sent, count, subject=subject))
        self.sent += count

    @rule()
    def take(self):
        evaluation.take(self.one.project, self.one.project.log.head())

    @rule()
    def close_span(self):
        self.take()
        spans.close(self.one.project, self.one.project.log.head())

    @rule(number=st.integers(0, 200), label=st.sampled_from(["red", "green", "blue"]))
    def relabel(self, number, label):
        known = self.one.project.database.value(
            "SELECT 1 FROM rows WHERE id = ?", (f"row-{number}",)
        )
        if known:
            self.one.project.labels.give([Label(f"row-{number}", label)]).result()

    @rule(number=st.integers(0, 200))
    def erase(self, number):
        subject = f"person-{number}"
        self.erased.add(subject)

        def work(connection):
            connection.execute("DELETE FROM rows WHERE subject = ?", (subject,))
            connection.execute("DELETE FROM evaluation WHERE subject = ?", (subject,))

        self.one.project.database.transact(work)

    @invariant()
    def bounded(self):
        count = self.one.project.database.value("SELECT count(*) FROM evaluation")
        assert count <= CAPACITY
        assert len(spans.closed(self.one.project)) <= SPANS

    @invariant()
    def of_the_log_and_never_trained_on(self):
        found = self.one.project.database.read(
            "SELECT e.subject, e.x = '' AS empty, part FROM evaluation e"
            " LEFT JOIN (SELECT key, part AS learnt FROM rows) USING (key)"
            " WHERE learnt IS NULL OR learnt = 'train'"
        )
        assert not found
        held = self.one.project.database.read("SELECT DISTINCT subject FROM evaluation")
        assert not {row["subject"] for row in held} & self.erased

    @invariant()
    def readable(self):
        rows = evaluation.read(self.one.project).rows
        ended = [span.span for span in spans.closed(self.one.project)]
        now = max(ended, default=0) + 1
        assert {span for span, _ in rows.by_span()} <= {*ended, now}

    @invariant()
    def spans_are_one_after_the_other(self):
        ended = spans.closed(self.one.project)
        assert [span.first for span in ended[1:]] == [span.last + 1 for span in ended[:-1]]
        assert len({span.name for span in ended}) == len(ended)


HeldOutMemory.TestCase.settings = settings(max_examples=8, stateful_step_count=14)
TestHeldOutMemory = HeldOutMemory.TestCase
