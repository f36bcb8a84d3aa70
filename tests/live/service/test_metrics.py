"""What Prometheus scrapes is what happened."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.anyio
A = [0.5, -1.0, 2.0, 0.25]
INFER = "/v2/models/flowers/infer"


async def scrape(client) -> dict[tuple, float]:
    """Every sample by its name and labels."""
    answer = await client.get("/metrics")
    assert 200 == answer.status_code
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_requests_are_counted_by_route_and_status(client, question) -> None:
    """The pattern of a route and not its path: callers cannot make new series."""
    for version in (1, 2, 9, "x"):
        path = f"/v2/models/flowers/versions/{version}/infer"
        await client.post(path, json=question(A))
    await client.request("WHATEVER", "/nowhere")
    found = await scrape(client)
    route = "/v2/models/{model}/versions/{version}/infer"
    assert 2 == found["perdure_requests_total", route, "200", "POST"] or (
        2 == found[("perdure_requests_total", *sorted((route, "200", "POST")))]
    )
    assert 2 == found[("perdure_requests_total", *sorted((route, "404", "POST")))]
    assert 1 == found[("perdure_requests_total", *sorted(("none", "404", "other")))]
    assert 4 == found["perdure_request_seconds_count", route]


async def test_answers_batches_and_rows_are_counted(client, question) -> None:
    """By version and alias; rows of batches add up to rows answered."""
    for rows in (1, 2, 3):
        await client.post(INFER, json=question(*[A] * rows))
    await client.post("/v1/models/flowers/examples", json={"rows": [{"features": A, "id": "a"}]})
    await client.post("/v1/models/flowers/labels", json={"labels": [{"id": "a", "label": "rose"}]})
    found = await scrape(client)
    assert 6 == found["perdure_predictions_total", "1", "champion"]
    assert (3, 6) == (found["perdure_batch_rows_count",], found["perdure_batch_rows_sum",])
    assert 1 == found["perdure_examples_total", "stored"]
    assert 1 == found["perdure_labels_total", "joined"]
    assert 7 == found["perdure_log_rows",]


async def test_the_state_is_read_when_it_is_asked_for(client, project) -> None:
    """Lag, versions, accuracy and sizes are those of this moment."""
    before = await scrape(client)
    assert (0, 0, 1) == tuple(
        before[(f"perdure_{name}", *labels)]
        for name, *labels in (("lag_rows",), ("switches",), ("version", "champion"))
    )
    rows = [{"features": A, "id": str(i), "label": "rose"} for i in range(4)]
    await client.post("/v1/models/flowers/examples", json={"rows": rows})

    def score(connection) -> None:
        for seq in range(1, 5):
            connection.execute(
                "INSERT INTO outcomes (seq, version, predicted, label, confidence, served, at)"
                " VALUES (?, 1, ?, 0, 0.9, 1, 0.0)",
                (seq, int(seq > 3)),
            )

    project.database.transact(score)
    await client.post("/v1/models/flowers/promote", json={"version": 2, "reason": "better"})
    after = await scrape(client)
    assert (4, 4, 1, 2) == (
        after["perdure_lag_rows",],
        after["perdure_log_head",],
        after["perdure_switches",],
        after["perdure_version", "champion"],
    )
    assert 0.75 == after["perdure_accuracy", "1"]
    assert after["perdure_disk_bytes",] > 10_000
    assert after["perdure_resident_bytes",] > 10_000_000


async def test_every_name_says_whose_it_is_and_is_explained(client) -> None:
    """One prefix, and a sentence for each."""
    text = (await client.get("/metrics")).text
    families = list(text_string_to_metric_families(text))
    assert all(family.name.startswith("perdure_") for family in families)
    assert all(family.documentation.endswith(".") for family in families)
