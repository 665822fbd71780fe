// SPDX-License-Identifier: Apache-2.0
// Filters, keys and details of the page. What is filtered is kept in the address, so that it can be
// sent to somebody: #text=...&level=MUST&result=fail&runtime=0&document=config&differs=1&at=ID
"use strict";

const byId = (id) => document.getElementById(id);
const report = JSON.parse(byId("report").textContent);
const rows = [...document.querySelectorAll("#matrix .row")];
const sections = [...document.querySelectorAll("#matrix tbody")];
const boxes = (id) => [...byId(id).querySelectorAll("input")];
let at = null; // the row that keys act on

// --- filters

function chosen(id) {
  return boxes(id).filter((box) => box.checked).map((box) => box.value);
}

function matches(row, filter) {
  const { strength, document: name, outcomes, differs, words } = row.dataset;
  const results = outcomes.split(",");
  const looked = filter.runtime === "" ? results : [results[Number(filter.runtime)]];
  return (
    (filter.levels.length === 0 || filter.levels.includes(strength)) &&
    (filter.outcomes.length === 0 || looked.some((result) => filter.outcomes.includes(result))) &&
    (filter.document === "" || filter.document === name) &&
    (!filter.differs || differs === "1") &&
    filter.words.every((word) => words.includes(word))
  );
}

function apply() {
  const filter = {
    words: byId("text").value.toLowerCase().split(/\s+/).filter(Boolean),
    levels: chosen("levels"),
    outcomes: chosen("outcomes"),
    runtime: byId("runtime").value,
    document: byId("document").value,
    differs: byId("differs").checked,
  };
  let shown = 0;
  for (const row of rows) {
    row.hidden = !matches(row, filter);
    shown += !row.hidden;
    const details = row.nextElementSibling;
    if (details && details.classList.contains("details")) details.hidden = row.hidden || !isOpen(row);
  }
  for (const section of sections) {
    section.hidden = !section.querySelector(".row:not([hidden])");
  }
  byId("count").textContent = `${shown} of ${rows.length}`;
  byId("nothing").hidden = shown > 0;
  keep(filter);
}

function keep(filter) {
  const state = new URLSearchParams();
  if (byId("text").value) state.set("text", byId("text").value);
  for (const level of filter.levels) state.append("level", level);
  for (const outcome of filter.outcomes) state.append("result", outcome);
  if (filter.runtime) state.set("runtime", filter.runtime);
  if (filter.document) state.set("document", filter.document);
  if (filter.differs) state.set("differs", "1");
  if (at) state.set("at", at.id);
  history.replaceState(null, "", `#${state}`);
}

function restore() {
  const text = location.hash.slice(1);
  const state = new URLSearchParams(text);
  byId("text").value = state.get("text") || "";
  for (const box of boxes("levels")) box.checked = state.getAll("level").includes(box.value);
  for (const box of boxes("outcomes")) box.checked = state.getAll("result").includes(box.value);
  byId("runtime").value = state.get("runtime") || "";
  byId("document").value = state.get("document") || "";
  byId("differs").checked = state.get("differs") === "1";
  const row = byId(state.get("at") || decodeURIComponent(text));
  apply();
  if (row && row.classList.contains("row")) {
    go(row);
    toggle(row, true);
  }
}

function clear() {
  byId("filters").reset();
  apply();
}

// --- details

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function observations(look) {
  if (look.observations.length === 0) return "";
  const head = ["what", "expected", "seen"].map((word) => element("th", { scope: "col" }, word));
  const lines = look.observations.map((line) =>
    element("tr", line.holds ? {} : { class: "missed" },
      element("th", { scope: "row" }, line.what),
      element("td", {}, line.expected),
      element("td", {}, line.seen)));
  return element("table", { class: "seen" },
    element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...lines));
}

function again(words) {
  const button = element("button", { type: "button", class: "quiet" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(words);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
    }
  });
  return element("div", { class: "again" }, element("code", {}, words), button);
}

function look(label, result) {
  const name = result.outcome.replace(" ", "-");
  const made = element("div", { class: `look ${name}` },
    element("h3", {}, `${label}: `, element("span", {}, result.outcome)));
  const missed = result.checks.flatMap((check) => check.observations.filter((line) => !line.holds));
  if (result.reason && missed.length === 0) made.append(element("p", {}, result.reason));
  for (const check of result.checks) {
    made.append(observations(check));
    if (check.log.length > 0) {
      made.append(element("details", {},
        element("summary", {}, `${check.log.length} command lines, ${check.seconds} s, ${check.check}`),
        element("pre", {}, check.log.join("\n"))));
    }
  }
  if (result.again) made.append(again(result.again));
  return made;
}

const isOpen = (row) => row.querySelector("button").getAttribute("aria-expanded") === "true";

function toggle(row, open = !isOpen(row)) {
  let details = row.nextElementSibling;
  if (!details || !details.classList.contains("details")) {
    if (!open) return;
    const { results } = report.requirements[Number(row.dataset.number)];
    const looks = Object.entries(results).map(([label, result]) => look(label, result));
    details = element("tr", { class: "details" },
      element("td", { colspan: row.cells.length }, element("div", { class: "looks" }, ...looks)));
    row.after(details);
  }
  row.querySelector("button").setAttribute("aria-expanded", String(open));
  details.hidden = !open;
}

// --- keys

function go(row) {
  if (!row) return;
  if (at) at.classList.remove("at");
  at = row;
  at.classList.add("at");
  at.querySelector("button").focus({ preventScroll: true });
  at.scrollIntoView({ block: "nearest" });
}

function step(by, wanted = () => true) {
  const shown = rows.filter((row) => !row.hidden);
  const from = shown.indexOf(at);
  const ahead = by > 0 ? shown.slice(from + 1) : shown.slice(0, Math.max(from, 0)).reverse();
  go(ahead.find(wanted));
}

function only(id, value) {
  const box = boxes(id).find((entry) => entry.value === value);
  const was = box.checked && chosen(id).length === 1;
  for (const entry of boxes(id)) entry.checked = false;
  box.checked = !was;
  apply();
}

const failed = (row) => row.dataset.outcomes.split(",").includes("fail");
const KEYS = {
  "/": () => byId("text").select(),
  j: () => step(1),
  k: () => step(-1),
  n: () => step(1, failed),
  p: () => step(-1, failed),
  f: () => only("outcomes", "fail"),
  d: () => { byId("differs").checked = !byId("differs").checked; apply(); },
  x: clear,
  "?": () => byId("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const field = event.target.closest("input[type=search], select");
  if (field) {
    if (event.key === "Escape") field.blur();
    return;
  }
  const act = KEYS[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

byId("matrix").addEventListener("click", (event) => {
  const row = event.target.closest(".row");
  if (!row || getSelection().toString()) return;
  go(row);
  toggle(row);
});

// --- theme, print

function theme(name) {
  document.documentElement.dataset.theme = name;
}

function remember(name) {
  try { localStorage.setItem("theme", name); } catch { /* a page of a file may not */ }
}

function remembered() {
  try { return localStorage.getItem("theme"); } catch { return null; }
}

const dark = matchMedia("(prefers-color-scheme: dark)");
theme(remembered() || (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => remembered() || theme(dark.matches ? "dark" : "light"));
byId("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  theme(next);
  remember(next);
});

addEventListener("beforeprint", () => {
  for (const row of rows) if (!row.hidden && failed(row)) toggle(row, true);
});

byId("filters").addEventListener("input", apply);
byId("filters").addEventListener("change", apply);
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => setTimeout(apply));
byId("clear").addEventListener("click", clear);
byId("keys").addEventListener("click", () => byId("help").showModal());
addEventListener("hashchange", restore);
restore();
