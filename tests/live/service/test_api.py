"""What comes in under `/v1` is durable or refused in words, and what people do is in the audit."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.anyio
A, B = [0.5, -1.0, 2.0, 0.25], [1.5, 0.0, -2.0, 3.25]
HERE = "/v1/models/flowers"
EXAMPLES, LABELS = f"{HERE}/examples", f"{HERE}/labels"


async def send(client, *rows, key: str | None = None):
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post(EXAMPLES, json={"rows": list(rows)}, headers=headers)


def held(project) -> list[tuple]:
    sql = "SELECT id, subject, source FROM rows ORDER BY position"
    return [tuple(row) for row in project.database.read(sql)]


async def test_rows_are_stored_with_what_is_known_about_them(client, project) -> None:
    """Id, label, times, subject and source are in the log when the answer comes."""
    row = {"id": "a", "features": A, "label": "lily", "subject": "ada", "event_time": 12.5}
    answer = await send(client, row, {"features": B, "source": "field"})
    said = answer.json()
    assert (200, 2, 0) == (answer.status_code, said["stored"], said["duplicates"])
    assert ["a", said["accepted"][1]["id"]] == [one["id"] for one in said["accepted"]]
    assert ("a", "ada", "admin") == held(project)[0]
    assert "field" == held(project)[1][2]
    assert 12.5 == project.database.value("SELECT event_time FROM rows WHERE id = 'a'")
    assert 1 == project.log.head()


async def test_rows_may_come_as_lines(client, project) -> None:
    """NDJSON: a row a line; empty lines are none."""
    lines = "\n".join(json.dumps({"id": str(i), "features": A}) for i in range(5)) + "\n\n"
    headers = {"Content-Type": "application/x-ndjson; charset=utf-8"}
    answer = await client.post(EXAMPLES, content=lines, headers=headers)
    assert 5 == answer.json()["stored"]
    assert list("01234") == [row[0] for row in held(project)]


@pytest.mark.parametrize(
    ("rows", "field", "row"),
    [
        ([{"features": A}, {"features": [1, 2, 3]}], "features", 1),
        ([{"features": A}, {"features": [1, 2, 3, None]}], "features[3]", 1),
        ([{"features": A, "label": "tulip"}], "label", 0),
        ([{"features": A, "label": True}], "label.str", 0),
        ([{"features": A, "id": "x"}, {"features": B, "id": "x"}], "id", 1),
        ([{"features": A, "when": 1}], "when", 0),
        ([{"features": A}, {"label": "rose"}], "features", 1),
        ([{"features": A, "task": 2**70}], "task", 0),
        ([], None, None),
    ],
)
async def test_what_does_not_fit_is_refused_whole(client, project, rows, field, row) -> None:
    """422 names field and row; the good rows of the request are not stored either."""
    answer = await send(client, *rows)
    error = answer.json()["error"]
    assert (422, "invalid", field, row) == (
        answer.status_code,
        error["code"],
        error["field"],
        error["row"],
    )
    assert error["message"]
    assert [] == held(project)


async def test_what_is_no_json_is_refused(client) -> None:
    """As one object and as lines."""
    for kind in ("application/json", "application/x-ndjson"):
        answer = await client.post(EXAMPLES, content=b"{", headers={"Content-Type": kind})
        assert 422 == answer.status_code
        assert "Invalid JSON" in answer.json()["error"]["message"]


async def test_a_key_makes_sending_again_safe(client, project) -> None:
    """Same key and body: the same answer and nothing new; another body: 422."""
    first = await send(client, {"features": A}, key="k1")
    again = await send(client, {"features": A}, key="k1")
    assert first.json()["accepted"] == again.json()["accepted"]
    assert 1 == len(held(project))
    other = await send(client, {"features": B}, key="k1")
    assert (422, "Idempotency-Key") == (other.status_code, other.json()["error"]["field"])
    assert 1 == len(held(project))


async def test_one_key_of_two_callers_is_two_keys(project, serve) -> None:
    """Nobody gets another's answer."""
    async with serve(project, "ingest") as one, serve(project, "ingest operate") as other:
        assert (
            "stored" == (await send(one, {"features": A}, key="k")).json()["accepted"][0]["status"]
        )
        assert (
            "stored"
            == (await send(other, {"features": B}, key="k")).json()["accepted"][0]["status"]
        )
    assert 2 == len(held(project))


async def test_an_ingest_token_speaks_for_itself_alone(project, serve) -> None:
    """Caps by source mean nothing if a sender may choose who it is."""
    async with serve(project, "ingest") as client:
        answer = await send(client, {"features": A, "source": "somebody else"})
        assert (403, "source") == (answer.status_code, answer.json()["error"]["field"])
        assert 200 == (await send(client, {"features": A, "source": "ingest"})).status_code
        assert 200 == (await send(client, {"features": B})).status_code
    assert {"ingest"} == {row[2] for row in held(project)}


async def test_a_source_may_send_so_many_rows_a_minute(begin, serve) -> None:
    """429 and when to come again; what could never fit is 413."""
    project = begin("[abuse]\nrows_per_minute = 10")
    async with serve(project) as client:
        rows = [{"features": A}] * 8
        assert 200 == (await send(client, *rows)).status_code
        answer = await send(client, *rows)
        assert (429, "full") == (answer.status_code, answer.json()["error"]["code"])
        assert int(answer.headers["Retry-After"]) > 30
        assert 200 == (await send(client, {"features": A, "source": "other"})).status_code
        assert 413 == (await send(client, *([{"features": A}] * 11))).status_code
    assert 9 == len(held(project))


async def test_too_long_a_body_is_413(begin, serve, question) -> None:
    """On each way in, announced or not, and nothing is stored."""
    project = begin("[serve]\nmax_body_bytes = 1024")

    async def parts():
        for _ in range(100):
            yield b" " * 100

    async with serve(project) as client:
        for path in (EXAMPLES, LABELS, "/v2/models/flowers/infer", "/invocations"):
            for content in (b" " * 1025, parts()):
                answer = await client.post(path, content=content)
                assert 413 == answer.status_code, path
                assert "max_body_bytes" in answer.text
        assert 200 == (await send(client, {"features": A})).status_code


async def test_a_full_log_says_when_to_come_again(begin, serve, add_version, question) -> None:
    """Rows and answers that would have to be stored are put off, not dropped."""
    project = begin("[log]\nkeep_rows = 1\nmax_rows = 2")
    project.registry.promote(add_version(project), actor="tester", reason="first")
    async with serve(project) as client:
        assert 200 == (await send(client, {"features": A}, {"features": B})).status_code
        for answer in (
            await send(client, {"features": A}),
            await client.post("/v2/models/flowers/infer", json=question(A)),
        ):
            assert 429 == answer.status_code
            assert "Retry-After" in answer.headers


async def test_labels_join_all_or_none(client, project) -> None:
    """One that has no row undoes the others of its request."""
    await send(client, {"id": "a", "features": A}, {"id": "b", "features": B})
    given = [{"id": "a", "label": "rose"}, {"id": "nobody", "label": "lily"}]
    answer = await client.post(LABELS, json={"labels": given})
    error = answer.json()["error"]
    assert (404, "id", 1) == (answer.status_code, error["field"], error["row"])
    assert 0 == project.log.head()
    given[1]["id"] = "b"
    for status in ("joined", "duplicate"):
        said = (await client.post(LABELS, json={"labels": given})).json()["labels"]
        assert [status] * 2 == [one["status"] for one in said]
    said = (await client.post(LABELS, json={"labels": [{"id": "a", "label": "iris"}]})).json()
    assert "revised" == said["labels"][0]["status"]


async def test_an_erased_subject_is_gone_for_good(client, project, question) -> None:
    """The receipt says what was done; rows that come later are refused with 410."""
    await send(client, {"id": "a", "features": A, "subject": "ada", "label": "rose"})
    plan = await client.post("/v1/erasures", json={"subject": "ada", "dry_run": True})
    assert ("dry run", 1) == (plan.json()["state"], plan.json()["rows"])
    assert 1 == len(held(project))
    done = (await client.post("/v1/erasures", json={"subject": "ada"})).json()
    assert ("done", 1, "admin") == (done["state"], done["rows"], done["actor"])
    assert "ada" not in json.dumps(done)
    assert [] == held(project)
    later = await send(client, {"features": A, "subject": "ada"})
    assert (410, "erased") == (later.status_code, later.json()["error"]["code"])
    asked = await client.post("/v2/models/flowers/infer", json=question(A, subject="ada"))
    assert 410 == asked.status_code
    assert [] == held(project)


# -- operating -----------------------------------------------------------------------------------


async def test_promotion_is_compare_and_swap(client, project) -> None:
    """Of two who read the same generation, one wins and the other gets 409."""
    generation = (await client.get(f"{HERE}/versions")).json()["generation"]
    body = {"version": 2, "reason": "better", "if_generation": generation}
    won = await client.post(f"{HERE}/promote", json=body)
    assert {"version": 2, "serving": 2, "generation": generation + 2} == won.json() or (
        won.json()["generation"] > generation
    )
    lost = await client.post(f"{HERE}/promote", json={**body, "version": 3})
    assert (409, "if_generation") == (lost.status_code, lost.json()["error"]["field"])
    assert 404 == (await client.post(f"{HERE}/promote", json={**body, "version": 9})).status_code


async def test_rollback_returns_to_what_served_before(client) -> None:
    """And is refused with 409 where nothing did."""
    await client.post(f"{HERE}/promote", json={"version": 3, "reason": "better"})
    moved = (await client.post(f"{HERE}/rollback", json={"reason": "worse"})).json()
    assert (1, 1) == (moved["version"], moved["serving"])
    again = await client.post(f"{HERE}/rollback", json={"reason": "worse"})
    assert (409, "conflict") == (again.status_code, again.json()["error"]["code"])


async def test_everything_that_is_done_is_in_the_audit_under_the_tokens_name(
    project, serve
) -> None:
    """Newest first, page by page."""
    async with serve(project, "operate") as client:
        await client.post(f"{HERE}/promote", json={"version": 2, "reason": "better"})
        await client.post(f"{HERE}/freeze", json={"reason": "a fire"})
        await client.post(f"{HERE}/unfreeze", json={"reason": "it is out"})
        entries = (await client.get("/v1/audit?limit=2")).json()["entries"]
        assert ["unfreeze", "freeze"] == [entry["action"] for entry in entries]
        earlier = (await client.get(f"/v1/audit?limit=1&before={entries[-1]['id']}")).json()
        assert ["promote"] == [entry["action"] for entry in earlier["entries"]]
        assert "better" == earlier["entries"][0]["detail"]["reason"]
        assert {"operate"} == {e["actor"] for e in entries + earlier["entries"]}


async def test_an_update_is_asked_for_once_and_watched(client, project) -> None:
    """202 with the job's address; asked again, the same job; frozen, 409 with who and why."""
    answer = await client.post(f"{HERE}/updates", json={"reason": "new rows"})
    job = answer.json()
    assert (202, "queued", "admin") == (answer.status_code, job["state"], job["actor"])
    assert job == (await client.get(answer.headers["Location"])).json()
    again = await client.post(f"{HERE}/updates", json={"reason": "hurry"})
    assert job["id"] == again.json()["id"]
    project.jobs.cancel(job["id"], "tester")
    await client.post(f"{HERE}/freeze", json={"reason": "a fire"})
    refused = await client.post(f"{HERE}/updates", json={"reason": "more"})
    assert 409 == refused.status_code
    assert "admin froze the project: a fire" in refused.json()["error"]["message"]
    assert 404 == (await client.get("/v1/jobs/999")).status_code


async def test_status_and_lists_say_how_things_stand(client, project) -> None:
    """What the tables hold, as they hold it; what JSON cannot say is null."""
    await send(client, {"id": "a", "features": A, "label": "rose"})
    report = json.dumps({"accuracy": float("nan"), "reasons": ["too few rows"]})

    def fill(connection) -> None:
        connection.execute(
            "INSERT INTO verdicts (version, champion, verdict, at, report)"
            " VALUES (2, 1, 'refuse', 5.0, ?)",
            (report,),
        )
        connection.execute(
            "INSERT INTO drifts (at, seq, detector, detail) VALUES (6.0, 1, 'adwin', '{}')"
        )
        connection.execute("INSERT INTO spans VALUES (1, 'spring', 1, 10)")
        connection.execute("INSERT INTO accuracy VALUES (2, 1, '', 10, 7)")

    project.database.transact(fill)
    status = (await client.get(f"{HERE}/status")).json()
    assert ("flowers", 1, 1) == (
        status["name"],
        status["champion"]["version"],
        status["log"]["head"],
    )
    assert (1, 0) == (status["service"]["version"], status["service"]["queued"])
    (verdict,) = (await client.get(f"{HERE}/verdicts")).json()["verdicts"]
    assert {"accuracy": None, "reasons": ["too few rows"]} == verdict["report"]
    (drift,) = (await client.get(f"{HERE}/drifts")).json()["drifts"]
    assert ("adwin", 6.0) == (drift["detector"], drift["at"])
    matrix = (await client.get(f"{HERE}/matrix")).json()
    assert [{"span": 1, "name": "spring", "first": 1, "last": 10}] == matrix["spans"]
    assert [{"version": 2, "span": 1, "slice": "", "rows": 10, "correct": 7}] == matrix["cells"]
    versions = (await client.get(f"{HERE}/versions")).json()["versions"]
    assert [3, 2, 1] == [one["version"] for one in versions]
    one = (await client.get(f"{HERE}/versions/champion")).json()
    assert (1, ["champion"]) == (one["version"], one["aliases"])
    assert one == (await client.get(f"{HERE}/versions/1")).json()
    assert 404 == (await client.get(f"{HERE}/versions/nobody")).status_code
    assert 422 == (await client.get(f"{HERE}/versions/No!")).status_code


async def test_another_models_name_is_not_found(client) -> None:
    """On every route that has one."""
    answer = await client.get("/v1/models/trees/status")
    assert (404, "model") == (answer.status_code, answer.json()["error"]["field"])


async def test_a_failure_of_ours_is_500_with_an_id_and_nothing_else(
    client, service, caplog
) -> None:
    """The log has the rest."""
    service.project.log.append = lambda *args: 1 / 0
    answer = await send(client, {"features": A})
    assert (500, "internal") == (answer.status_code, answer.json()["error"]["code"])
    assert answer.headers["X-Request-Id"] in answer.json()["error"]["message"]
    assert "ZeroDivisionError" not in answer.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_full_disk_is_said_as_such(client, service) -> None:
    """Not as a failure of ours: it passes when there is room."""
    pages = service.project.database.value("PRAGMA page_count")
    service.project.database.transact(lambda c: c.execute(f"PRAGMA max_page_count = {pages}"))
    rows = [{"features": A, "subject": "x" * 200} for _ in range(100)]
    answer = await send(client, *rows)
    assert 503 == answer.status_code
    assert "the state directory cannot be" in answer.json()["error"]["message"]
    assert int(answer.headers["Retry-After"]) > 0
    assert [] == held(service.project)
