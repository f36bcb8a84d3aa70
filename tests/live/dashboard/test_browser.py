"""The dashboard as people use it, in a browser that nobody sees."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.live.dashboard import story
from tests.live.dashboard.conftest import served, token_for

from perdure.live import freezing
from perdure.live.project import Project
from perdure.live.service.dashboard.pages import PAGES

playwright = pytest.importorskip(
    "playwright.sync_api", reason="these tests drive a browser: pip install playwright"
)
CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip(f"these tests need {CHROMIUM}", allow_module_level=True)

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 15_000
"""Milliseconds that something may take to appear."""
THEMES, WIDTHS = ("light", "dark"), (1280, 380)


class Visit:
    """A person with a browser.

    Args:
        page: Playwright's.
        home: the service's address.
    """

    def __init__(self, page: Any, home: str) -> None:
        self.page = page
        self.home = home
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.set_default_timeout(PATIENCE)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def log_in(self, token: str) -> None:
        """Come to the overview by the front door."""
        self.page.goto(self.home)
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Log in").click()
        self.page.wait_for_url(re.compile("/dashboard$"))

    def open(self, name: str) -> None:
        """Go to a page."""
        self.page.goto(f"{self.home}/dashboard/{name}")

    def press(self, button: str, reason: str = "") -> None:
        """Press a button and, where there is a reason, confirm."""
        self.page.get_by_role("button", name=button, exact=True).click()
        if reason:
            dialog = self.page.get_by_role("dialog")
            dialog.get_by_label(re.compile("Reason")).fill(reason)
            dialog.get_by_role("button", name=button, exact=True).click()

    def expect(self, selector: str, text: str) -> None:
        """Wait until something says something."""
        playwright.expect(self.page.locator(selector).first).to_contain_text(text, timeout=PATIENCE)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all tests."""
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Any, project: Project) -> Iterator[Callable[..., Visit]]:
    """A visit to the project, in this theme and width, by a token of these roles."""
    with served(project) as home:
        contexts = []

        def begun(roles: str = "operate", theme: str = "light", width: int = 1280) -> Visit:
            size = {"width": width, "height": 900}
            contexts.append(browser.new_context(viewport=size, color_scheme=theme))
            held = Visit(contexts[-1].new_page(), home)
            held.log_in(token_for(project, f"ada-{len(contexts)}", roles))
            return held

        yield begun
        for context in contexts:
            context.close()


def test_a_drift_is_seen_on_the_chart_and_said_in_words(visit: Callable[..., Visit]) -> None:
    """The mark is a button that can be reached by keyboard, and tells what happened and where."""
    ada = visit()
    flag = ada.page.locator(".mark-drift .mark-flag")
    playwright.expect(flag).to_have_count(1)
    said = flag.get_attribute("aria-label")
    assert said is not None
    assert "ADWIN, errors rose from 10.0% to 75.0%" in said
    assert "(row 70" in said
    ada.expect(".part-drifts", "errors rose from 10.0% to 75.0%")


def test_promotions_are_marked_on_the_chart(visit: Callable[..., Visit]) -> None:
    """By the number of the version."""
    ada = visit()
    playwright.expect(ada.page.locator(".mark-promotion .mark-flag").last).to_contain_text("v3")


def test_a_challenger_is_promoted(visit: Callable[..., Visit], project: Project) -> None:
    """After a confirmation; the page shows it at once, and the audit log says who and why."""
    ada = visit()
    ada.press("Promote v4", "it looks good to me")
    ada.expect(".toast", "Version 4 serves now.")
    ada.expect(".card-champion .card-version", "v4")
    assert project.registry.champion().version == 4
    ada.open("audit")
    ada.expect(".audit tbody tr", "ada-1")
    ada.expect(".audit tbody tr", "it looks good to me")


def test_the_champion_is_rolled_back(visit: Callable[..., Visit], project: Project) -> None:
    """To the version that served before."""
    ada = visit()
    ada.press("Roll back to v2", "answers got worse")
    ada.expect(".toast", "Version 2 serves again.")
    ada.expect(".card-champion .card-version", "v2")
    playwright.expect(ada.page.locator(".mark-rollback .mark-flag")).to_contain_text("v2")
    assert project.registry.champion().version == 2


def test_a_project_is_frozen_and_unfrozen(visit: Callable[..., Visit], project: Project) -> None:
    """While it is frozen, a banner says so and no update can be asked for."""
    ada = visit()
    ada.press("Freeze", "the sensor is broken")
    ada.expect(".warning", "the sensor is broken")
    playwright.expect(ada.page.get_by_role("button", name="Update now")).to_be_disabled()
    assert freezing.frozen(project.database) is not None
    ada.press("Unfreeze", "mended")
    playwright.expect(ada.page.get_by_role("button", name="Update now")).to_be_enabled()
    assert freezing.frozen(project.database) is None


def test_an_update_is_asked_for_and_its_progress_shown(
    visit: Callable[..., Visit], project: Project
) -> None:
    """The job waits, then runs with a bar."""
    ada = visit()
    ada.press("Update now", "new season")
    ada.expect("#work", "waits for the updater")
    job = project.jobs.open()
    assert job is not None
    assert "new season" == job.reason
    project.jobs.start(job.id, 3, 120, 120)
    project.jobs.beat(job.id, batches=3, of=12)
    ada.expect("#work", "3 of 12 batches learnt")
    assert "3" == ada.page.locator("#progress").get_attribute("value")


def test_nothing_is_done_without_a_reason(visit: Callable[..., Visit], project: Project) -> None:
    """Nor where the dialog is left by Escape."""
    ada = visit()
    ada.press("Promote v4")
    dialog = ada.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Promote v4").click()
    playwright.expect(dialog).to_be_visible()
    ada.page.keyboard.press("Escape")
    playwright.expect(dialog).to_be_hidden()
    assert project.registry.champion().version == 3


def test_who_comes_second_is_told_in_a_sentence(
    visit: Callable[..., Visit], project: Project
) -> None:
    """Somebody moved an alias after this page was made: 409, and nothing is promoted."""
    ada = visit()
    ada.press("Promote v4")
    ada.page.get_by_label(re.compile("Reason")).fill("now")
    project.registry.alias("shadow", 1, actor="grace")
    ada.page.get_by_role("dialog").get_by_role("button", name="Promote v4").click()
    ada.expect(".toast", "things have changed")
    ada.expect(".toast", "somebody else was faster")
    assert project.registry.champion().version == 3


def test_a_token_that_may_only_predict_sees_why_it_cannot(
    visit: Callable[..., Visit], project: Project
) -> None:
    """The buttons are there, disabled, and going around them is refused."""
    till = visit("predict")
    for name in ("Update now", "Freeze", "Roll back to v2", "Promote v4"):
        playwright.expect(till.page.get_by_role("button", name=name)).to_be_disabled()
    till.expect("#why-not", "need the role operate")
    status = till.page.evaluate(
        """async () => (await fetch("/v1/models/tiny/promote", {
            method: "POST",
            headers: {"Content-Type": "application/json",
                      "X-CSRF-Token": document.body.dataset.csrf},
            body: JSON.stringify({version: 4, reason: "let me"})})).status"""
    )
    assert 403 == status
    assert project.registry.champion().version == 3


def test_without_its_csrf_token_a_browser_changes_nothing(
    visit: Callable[..., Visit], project: Project
) -> None:
    """The session's cookie alone is what another site could use."""
    ada = visit("admin")
    status = ada.page.evaluate(
        """async () => (await fetch("/v1/models/tiny/rollback", {method: "POST",
            headers: {"Content-Type": "application/json"},
            body: JSON.stringify({reason: "forged"})})).status"""
    )
    assert 403 == status
    assert project.registry.champion().version == 3


def test_a_wrong_token_is_told_so(visit: Callable[..., Visit]) -> None:
    """On the page that asked for it."""
    ada = visit()
    ada.page.get_by_role("button", name="Log out").click()
    ada.page.get_by_label("Token").fill("pdr_nobody_nothing")
    ada.page.get_by_role("button", name="Log in").click()
    ada.expect("#problem", "no live token")


def test_after_logging_out_the_pages_are_closed(visit: Callable[..., Visit]) -> None:
    """Every address leads to the login."""
    ada = visit()
    ada.page.get_by_role("button", name="Log out").click()
    ada.open("versions")
    playwright.expect(ada.page.get_by_label("Token")).to_be_visible()


def test_a_revoked_token_ends_the_visit(visit: Callable[..., Visit], project: Project) -> None:
    """The open page goes to the login by itself."""
    ada = visit()
    ada.expect(".card-champion", "v3")
    project.database.transact(lambda c: c.execute("UPDATE tokens SET revoked = 1"))
    ada.page.wait_for_url(re.compile("/dashboard/login"), timeout=PATIENCE)


def test_what_was_opened_stays_open_when_the_page_renews_itself(
    visit: Callable[..., Visit], project: Project
) -> None:
    """And the focus stays where it was."""
    ada = visit()
    ada.open("versions")
    ada.page.locator("#v4 > summary").click()
    ada.expect("#v4", "rule two of 4")
    story.version(project)
    ada.expect(".versions", "v5")
    ada.expect("#v4 .rules", "rule two of 4")
    playwright.expect(ada.page.locator("#v4")).to_have_attribute("open", "")


def test_the_chart_grows_as_labels_come(visit: Callable[..., Visit], project: Project) -> None:
    """Without a reload, and the chosen axis stays."""
    ada = visit()
    ada.page.get_by_role("button", name="by time").click()
    ada.page.evaluate("document.querySelector('#chart .uplot').dataset.same = 'yes'")
    story.drift(project, 100)
    playwright.expect(ada.page.locator(".mark-drift")).to_have_count(2, timeout=PATIENCE)
    assert "yes" == ada.page.locator("#chart .uplot").get_attribute("data-same")
    pressed = ada.page.get_by_role("button", name="by time").get_attribute("aria-pressed")
    assert "true" == pressed


def test_a_slice_can_be_chosen(visit: Callable[..., Visit]) -> None:
    """The heat map shows its rows alone, and the address can be shared."""
    ada = visit()
    ada.open("accuracy")
    ada.page.get_by_label("Rows").select_option("class:red")
    ada.page.wait_for_url(re.compile("slice=class"))
    ada.expect(".part-heatmap", "class red")
    ada.expect(".heatmap .heat", "75.0")


def test_the_keyboard_is_enough(visit: Callable[..., Visit], project: Project) -> None:
    """Skip to the content, open a version, freeze, and go back: no mouse."""
    ada = visit()
    ada.page.keyboard.press("Tab")
    ada.expect(":focus", "Skip to content")
    button = ada.page.get_by_role("button", name="Freeze")
    button.focus()
    ada.page.keyboard.press("Enter")
    ada.page.keyboard.type("by keyboard")
    ada.page.keyboard.press("Tab")
    ada.page.keyboard.press("Tab")
    ada.page.keyboard.press("Enter")
    ada.expect(".toast", "Frozen")
    ada.open("versions")
    ada.page.locator("#v3 > summary").focus()
    ada.page.keyboard.press("Enter")
    ada.expect("#v3", "rule one of 3")


def test_the_theme_can_be_chosen_and_stays(visit: Callable[..., Visit]) -> None:
    """The system's first, then light, then dark; another page is dark too."""
    ada = visit()
    paper = "getComputedStyle(document.body).backgroundColor"
    light = ada.page.evaluate(paper)
    ada.page.locator("#theme").click()
    assert light == ada.page.evaluate(paper)
    ada.page.locator("#theme").click()
    dark = ada.page.evaluate(paper)
    assert light != dark
    ada.open("memory")
    assert dark == ada.page.evaluate(paper)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_can_be_read_is_quiet_and_stays_at_home(
    visit: Callable[..., Visit], theme: str, width: int
) -> None:
    """No horizontal scrolling; contrast of text to what is behind it of 4.5 or more, as WCAG 2.2
    (1.4.3) asks; no word on the console; no request to another host.
    """
    ada = visit(theme=theme, width=width)
    for name in PAGES:
        ada.open(name)
        for held in ada.page.locator("details > summary").all()[:2]:
            held.click()
        assert width == ada.page.evaluate("document.documentElement.scrollWidth"), name
        assert [] == ada.page.evaluate(CONTRAST), name
    assert [] == ada.complaints
    assert {urlsplit(ada.home).netloc} == ada.hosts


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, under) => {
    const a = top[3] / 255;
    return [0, 1, 2].map((i) => top[i] * a + under[i] * (1 - a)).concat(255);
  };
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const found = rgba(getComputedStyle(e).backgroundColor);
      layers.push(found);
      if (found[3] === 255) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255).map(
      (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = new Set();
  for (const element of document.querySelectorAll("main *, header *")) {
    const style = getComputedStyle(element);
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    const shown = element.checkVisibility() && !element.matches(":disabled, .hidden, script");
    if (!own || !shown || element.closest("svg, .chart, .heat-few")) continue;
    const under = behind(element);
    const [a, b] = [light(over(rgba(style.color), under)), light(under)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const said = element.textContent.trim().slice(0, 30);
    if (contrast < 4.5) poor.add(`${element.className} ${contrast.toFixed(2)} ${said}`);
  }
  return [...poor];
}"""
