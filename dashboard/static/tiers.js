"use strict";
// The editor of tiers: handles and fields in step, rows in order, and what is typed sent by htmx (see the form's attributes).

const form = document.getElementById("draft");
const list = document.getElementById("rungs");
const whole = new Intl.NumberFormat("en-GB");
const rail = () => document.getElementById("rail"); // another one after each save
const field = (name, key) => form.elements[`${name}-${key}`];

function pointsOf(key) {
  const digits = field("threshold", key)?.value.replace(/[, ]/g, "");
  return /^\d+$/.test(digits ?? "") ? Number(digits) : null;
}

// ── The scale, as tier_scale.py has it ─────────────────────────────────────────────────────────────────────────────

function scale() {
  const { scale: kind, top, unit } = rail().dataset;
  const most = Number(top);
  if (kind === "linear") return { share: (points) => points / most, points: (share) => share * most, most };
  const width = Math.log1p(most / unit);
  return { share: (points) => Math.log1p(points / unit) / width, points: (share) => unit * Math.expm1(share * width), most };
}

// A round number of points that a handle moves by: about half a hundredth of the drawing at that place.
function stepAt(points) {
  const { share, points: at, most } = scale();
  const here = share(Math.min(points, most));
  const width = at(Math.min(here + 0.005, 1)) - at(Math.max(here - 0.005, 0));
  return Math.max(10 ** Math.round(Math.log10(width / 2)), 1);
}

// ── Handles ────────────────────────────────────────────────────────────────────────────────────────────────────────

const handles = () => rail().querySelectorAll(".handle");
const PAGE = 10; // steps

function set(key, points) {
  const { most } = scale();
  field("threshold", key).value = whole.format(Math.min(Math.max(points, 0), most));
  lay();
}

document.addEventListener("input", (event) => {
  if (!event.target.matches(".handle")) return;
  const { key } = event.target.dataset;
  const points = scale().points(event.target.valueAsNumber / 1000);
  const step = stepAt(points);
  set(key, Math.round(points / step) * step);
});

document.addEventListener("change", (event) => {
  if (event.target.matches(".handle")) typed(event.target.dataset.key);
});

document.addEventListener("keydown", (event) => {
  if (!event.target.matches(".handle") || event.ctrlKey || event.metaKey || event.altKey) return;
  const directions = { ArrowRight: 1, ArrowUp: 1, PageUp: PAGE, ArrowLeft: -1, ArrowDown: -1, PageDown: -PAGE };
  const steps = directions[event.key];
  const { key } = event.target.dataset;
  const points = pointsOf(key);
  if (!steps || points === null) return;
  event.preventDefault();
  const step = stepAt(points + Math.sign(steps) / 1000);
  set(key, Math.round(points / step) * step + steps * step);
  typed(key);
});

function typed(key) {
  field("threshold", key).dispatchEvent(new Event("input", { bubbles: true }));
  order();
}

// Draw the pieces, and put the handles, where the fields say.
function lay() {
  const { share } = scale();
  const at = (points) => `${(100 * Math.min(share(points), 1)).toFixed(3)}%`;
  const pieces = [...rail().querySelectorAll(".piece")].map((piece) => ({ piece, points: pointsOf(piece.dataset.key) }));
  const ordered = pieces.filter(({ points }) => points !== null).sort((one, other) => one.points - other.points);
  ordered.forEach(({ piece, points }, n) => {
    const end = ordered[n + 1] ? Math.min(share(ordered[n + 1].points), 1) : 1;
    const rect = piece.querySelector("rect");
    rect.setAttribute("x", at(points));
    rect.setAttribute("width", `${Math.max(100 * (end - Math.min(share(points), 1)), 0).toFixed(3)}%`);
    piece.querySelector(".begin").setAttribute("x1", at(points));
    piece.querySelector(".begin").setAttribute("x2", at(points));
    piece.querySelector(".name")?.setAttribute("x", at(points));
  });
  for (const handle of handles()) {
    const points = pointsOf(handle.dataset.key);
    if (points === null) continue;
    if (!handle.matches(":active")) handle.value = Math.round(1000 * share(points));
    handle.setAttribute("aria-valuetext", `${whole.format(points)} points`);
  }
}

// Tiers whose colour is automatic have one by their level.
function paint() {
  for (const piece of rail().querySelectorAll(".piece")) {
    const tone = [...piece.classList].find((name) => name.startsWith("tone-"));
    list.querySelector(`#rung-${CSS.escape(piece.dataset.key)} summary`).className = `swatch ${tone}`;
  }
}

// ── Rows ───────────────────────────────────────────────────────────────────────────────────────────────────────────

// The highest first, as soon as a threshold is left; whoever is in a field stays in it.
function order() {
  const rows = [...list.children];
  const height = (row) => pointsOf(row.dataset.key) ?? Infinity;
  const wanted = [...rows].sort((one, other) => (height(other) === height(one) ? 0 : height(other) - height(one)));
  if (wanted.every((row, n) => row === rows[n])) return;
  const focused = document.activeElement;
  list.append(...wanted);
  focused.focus({ preventScroll: true });
}

// Not under the pointer: a press that has ended the typing would miss what it was meant for.
let isPressed = false;
document.addEventListener("pointerdown", () => (isPressed = true), true);
for (const end of ["pointerup", "pointercancel"]) document.addEventListener(end, () => (isPressed = false), true);

function orderSoon() {
  if (isPressed) document.addEventListener("pointerup", () => setTimeout(order), { once: true });
  else order();
}

list.addEventListener("change", (event) => {
  const row = event.target.closest(".rung");
  const { key } = row.dataset;
  if (event.target === field("threshold", key)) {
    const points = pointsOf(key);
    if (points !== null && Number.isSafeInteger(points)) event.target.value = whole.format(points);
    orderSoon();
    if (rail().querySelector(`[data-key="${CSS.escape(key)}"]`)) lay();
  }
  if (event.target === field("name", key)) call(row, event.target.value.trim() || field("code", key).value || "new tier");
  if (event.target.type === "radio") {
    const summary = row.querySelector("summary.swatch");
    if (event.target.value) summary.className = `swatch tone-${event.target.value}`;
    else summary.className = "swatch automatic";
    if (!event.target.matches(":focus-visible")) close(summary.parentElement);
  }
});

// What a row is called is said with each of its fields.
function call(row, title) {
  for (const place of row.querySelectorAll("[data-title]")) place.textContent = title;
  for (const named of row.querySelectorAll("[aria-label]")) named.ariaLabel = named.ariaLabel.replace(/ of .*/, () => ` of ${title}`);
}

let count = 0;

document.addEventListener("click", (event) => {
  const adds = event.target.closest("[data-adds]");
  if (!adds) {
    for (const open of list.querySelectorAll("details[open]")) if (!open.contains(event.target)) open.open = false;
    return;
  }
  event.preventDefault();
  const made = document.getElementById("new-rung").content.firstElementChild.cloneNode(true);
  const key = `a${++count}-${list.children.length}`;
  const rename = (element) => {
    for (const name of ["id", "name", "data-key", "aria-describedby"]) {
      const value = element.getAttribute(name);
      if (value) element.setAttribute(name, value.replace(/^new$|(?<=-)new$/, key));
    }
    if (element.name === "row") element.value = key;
  };
  [made, ...made.querySelectorAll("*")].forEach(rename);
  list.prepend(made);
  field("name", key).focus();
});

// A code is made of the name until somebody types one.
list.addEventListener("input", (event) => {
  const { key } = event.target.closest(".rung").dataset;
  const code = field("code", key);
  if (event.target === code) code.dataset.isOwn = code.value ? "true" : "";
  if (event.target !== field("name", key) || code.readOnly || code.dataset.isOwn || code.defaultValue) return;
  code.value = event.target.value.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 50);
});

// ── Colours ────────────────────────────────────────────────────────────────────────────────────────────────────────

function close(details) {
  details.open = false;
  details.querySelector("summary").focus();
}

list.addEventListener("keydown", (event) => {
  const open = event.target.closest("details[open]");
  if (open && (event.key === "Escape" || (event.key === "Enter" && event.target.type === "radio"))) {
    event.preventDefault();
    close(open);
  }
});

// ── Saving ─────────────────────────────────────────────────────────────────────────────────────────────────────────

// Enter would press the form's first button.
form.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.target.type === "submit" || event.target.tagName !== "INPUT") return;
  event.preventDefault();
  event.target.dispatchEvent(new Event("change", { bubbles: true }));
});

let typings = 0; // how often something was typed,
let kept = 0; // and how much of that is known to the server

// Nobody needs to hear of each letter that it is being saved.
function tell(text, kind = "") {
  const badge = Object.assign(document.createElement("span"), { className: `badge ${kind}`, textContent: text, ariaHidden: "true" });
  document.getElementById("saved").replaceChildren(badge);
}

form.addEventListener("input", () => {
  typings += 1;
  tell("Saving …");
});

document.addEventListener("htmx:config:request", (event) => (event.detail.ctx.typings = typings));

document.addEventListener("htmx:finally:request", (event) => {
  const { sourceElement, response, typings: sent } = event.detail.ctx;
  if (sourceElement !== form) return;
  if (response?.status < 500) kept = sent; // or told why not
  if (kept < typings) tell(sent < typings ? "Saving …" : "Not saved", sent < typings ? "" : "bad");
});

// Whoever leaves within a moment of typing loses nothing.
addEventListener("pagehide", () => {
  if (kept < typings) fetch(form.action, { method: "POST", body: new FormData(form), keepalive: true });
});

// A request that has waited for the one before it is made from what that one has led to.
document.addEventListener("htmx:before:request", (event) => {
  const { ctx } = event.detail;
  if (ctx.sourceElement === form) ctx.request.body.set("revision", form.elements.revision.value);
});

document.addEventListener("htmx:after:swap", () => {
  lay();
  paint();
  document.getElementById("moves").textContent = document.querySelector("#effect .told")?.textContent ?? "";
  for (const problem of list.querySelectorAll(".rung-problem")) {
    const wrong = problem.dataset.wrong.split(" ");
    const { key } = problem.closest(".rung").dataset;
    for (const name of ["code", "name", "threshold"]) {
      if (wrong.includes(name)) field(name, key).setAttribute("aria-invalid", "true");
      else field(name, key).removeAttribute("aria-invalid");
    }
  }
});

lay();
