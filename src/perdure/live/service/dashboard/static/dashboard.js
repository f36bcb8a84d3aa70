"use strict";
/* Renews the parts of a page, says how long ago things were, and asks before it does anything. */

const EVERY = 2000;
const { root, page, csrf } = document.body.dataset;
let seen = document.body.dataset.seen;
const byId = (id) => document.getElementById(id);

/* -- times ------------------------------------------------------------------------------------ */

const STEPS = [[86400, "d"], [3600, "h"], [60, "min"]];

function ago(then) {
  const passed = (Date.now() - then) / 1000;
  if (passed < 5) return "just now";
  for (const [size, name] of STEPS) {
    if (passed >= size) return `${Math.floor(passed / size)} ${name} ago`;
  }
  return `${Math.floor(passed)} s ago`;
}

function tellTimes(within = document) {
  for (const time of within.querySelectorAll("time")) {
    const said = ago(Date.parse(time.dateTime));
    if (time.textContent !== said) time.textContent = said;
  }
}

/* -- parts ------------------------------------------------------------------------------------ */

const shown = new Map();

/* What a person has opened, and what scripts have drawn, outlives the renewal. */
function renew(part, html) {
  if (shown.get(part.dataset.part) === html) return;
  shown.set(part.dataset.part, html);
  const open = [...part.querySelectorAll("details[open]")].map((held) => held.id);
  const scrolled = [...part.querySelectorAll(".scroll")].map((held) => [held.scrollLeft, held.scrollTop]);
  const focus = part.contains(document.activeElement) ? document.activeElement.id : "";
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  for (const held of part.querySelectorAll("[data-keep]")) {
    fresh.content.querySelector(`[data-keep="${held.dataset.keep}"]`)?.replaceWith(held);
  }
  for (const id of open) fresh.content.getElementById(id)?.setAttribute("open", "");
  tellTimes(fresh.content);
  part.replaceChildren(fresh.content);
  part.querySelectorAll(".scroll").forEach((held, i) => {
    [held.scrollLeft, held.scrollTop] = scrolled[i] ?? [0, 0];
  });
  if (focus) byId(focus)?.focus({ preventScroll: true });
}

function tell(state, text) {
  byId("pulse").dataset.state = state;
  if (byId("pulse-text").textContent !== text) byId("pulse-text").textContent = text;
}

async function look(fresh) {
  const query = new URLSearchParams(location.search);
  query.set("seen", seen);
  if (fresh) query.set("fresh", "");
  const answer = await fetch(`${root}/dashboard/${page}/parts?${query}`);
  if (answer.status === 401) return location.assign(`${root}/dashboard/login`);
  if (answer.status === 204) return;
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const said = await answer.json();
  seen = said.seen;
  for (const part of document.querySelectorAll("[data-part]")) renew(part, said.parts[part.dataset.part]);
  document.dispatchEvent(new Event("perdure:renewed"));
}

let looking = null;

function lookOnce(fresh = false) {
  looking ??= look(fresh)
    .then(() => tell("live", "live"), () => tell("lost", "no answer"))
    .finally(() => { looking = null; });
  return looking;
}

async function keepLooking() {
  if (document.hidden) tell("paused", "paused");
  else await lookOnce();
  setTimeout(keepLooking, EVERY);
}

/* -- telling ---------------------------------------------------------------------------------- */

function toast(text, kind = "good") {
  const held = document.createElement("div");
  held.className = `toast toast-${kind}`;
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "✕";
  close.setAttribute("aria-label", "Close");
  close.addEventListener("click", () => held.remove());
  held.append(text, close);
  byId("toasts").append(held);
  setTimeout(() => held.remove(), kind === "bad" ? 12000 : 6000);
}

/* -- doing ------------------------------------------------------------------------------------ */

const DONE = {
  promote: (said) => `Version ${said.version} serves now.`,
  rollback: (said) => `Version ${said.version} serves again.`,
  freeze: () => "Frozen. Predictions go on.",
  unfreeze: () => "Unfrozen.",
  updates: (said) => (said.state === "running" ? `Update ${said.id} runs already.` : `Update ${said.id} is waiting for the updater.`),
};
const dialog = byId("confirm");
let wanted = null;

function ask(button) {
  wanted = button.dataset;
  byId("confirm-title").textContent = wanted.title;
  byId("confirm-text").textContent = wanted.text;
  byId("confirm-do").textContent = wanted.label;
  byId("confirm-do").className = `button ${button.classList.contains("button-danger") ? "button-danger" : "button-accent"}`;
  byId("confirm-reason").value = "";
  dialog.showModal();
}

async function perform({ verb, model, body }, reason) {
  const answer = await fetch(`${root}/v1/models/${encodeURIComponent(model)}/${verb}`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
    body: JSON.stringify({ ...JSON.parse(body), reason }),
  });
  const said = await answer.json();
  if (answer.ok) return toast(DONE[verb](said));
  const word = answer.status === 409 ? "Not done, for things have changed" : "Not done";
  toast(`${word}: ${said.error.message}`, "bad");
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-verb]");
  if (button) ask(button);
});
document.addEventListener("change", (event) => {
  if (event.target.closest("[data-pick]")) event.target.form.submit();
});
byId("confirm-cancel").addEventListener("click", () => dialog.close());
byId("confirm-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const reason = byId("confirm-reason").value.trim();
  if (!reason) return byId("confirm-reason").focus();
  byId("confirm-do").disabled = true;
  try {
    await perform(wanted, reason);
  } catch {
    toast("Not done: the service does not answer.", "bad");
  }
  byId("confirm-do").disabled = false;
  dialog.close();
  await looking;
  await lookOnce(true);
});

/* -- theme ------------------------------------------------------------------------------------ */

const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function theme() {
  return localStorage.getItem("perdure-theme") ?? "auto";
}

function showTheme() {
  const [sign, name] = THEMES[theme()] ?? THEMES.auto;
  if (theme() === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme();
  byId("theme").textContent = sign;
  byId("theme").title = `Theme: ${name}`;
  byId("theme").setAttribute("aria-label", `Theme: ${name}`);
  document.dispatchEvent(new Event("perdure:theme"));
}

byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  localStorage.setItem("perdure-theme", names[(names.indexOf(theme()) + 1) % names.length]);
  showTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTheme);

/* -- beginning -------------------------------------------------------------------------------- */

function openTarget() {
  const held = location.hash && byId(location.hash.slice(1));
  if (held?.tagName === "DETAILS") held.open = true;
}

showTheme();
tellTimes();
openTarget();
document.querySelector("nav [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
window.addEventListener("hashchange", openTarget);
setInterval(tellTimes, 5000);
setTimeout(keepLooking, EVERY);
document.addEventListener("visibilitychange", () => { if (!document.hidden) lookOnce(); });
