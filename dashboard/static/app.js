"use strict";
// What pages can do beyond links and forms; all of them work without it.

const find = (selector, within = document) => within.querySelector(selector);

// ── htmx ───────────────────────────────────────────────────────────────────────────────────────────────────────────

document.addEventListener("htmx:config:request", (event) => {
  event.detail.ctx.request.headers["X-CSRFToken"] = find("meta[name=csrf-token]").content;
});

document.addEventListener("htmx:error", (event) => {
  const failed = event.detail?.error;
  if (failed instanceof TypeError) say("The server could not be reached. Check the connection and try again.", "error");
});

document.addEventListener("toast", (event) => say(event.detail.sentence, event.detail.kind));

// ── Toasts ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const TOAST_STAYS = 6000; // ms

function say(sentence, kind = "said") {
  const toast = find("#toast").content.firstElementChild.cloneNode(true);
  toast.classList.toggle("error", kind === "error");
  find("p", toast).textContent = sentence;
  find("#toasts").append(toast);
  if (kind !== "error") setTimeout(() => toast.remove(), TOAST_STAYS);
}

// ── Clicks ─────────────────────────────────────────────────────────────────────────────────────────────────────────

document.addEventListener("click", (event) => {
  const pressed = event.target.closest("[data-copy], [data-dismiss], [data-opens], [data-closes], [data-print]");
  if (!pressed) return;
  const { copy, dismiss, opens, closes, print } = pressed.dataset;
  if (copy !== undefined) copyText(copy, pressed);
  if (dismiss !== undefined) pressed.parentElement.remove();
  if (closes !== undefined) pressed.closest("dialog").close();
  if (print !== undefined) window.print();
  if (opens !== undefined) {
    event.preventDefault();
    document.getElementById(opens).showModal();
  }
});

async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    const shown = button.parentElement.querySelector("code") ?? button;
    getSelection().selectAllChildren(shown);
    say("Press Ctrl-C to copy what is selected.");
  }
  button.focus();
}

// ── Forms: one press, one request ──────────────────────────────────────────────────────────────────────────────────

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "dialog" || form.matches("[data-theme-form]")) return;
  if (form.dataset.isSent && !event.submitter?.formTarget) event.preventDefault();
  if (event.defaultPrevented || form.method === "get") return;
  form.dataset.isSent = "true";
  event.submitter?.setAttribute("aria-disabled", "true");
});

function allowAgain(form) {
  delete form.dataset.isSent;
  for (const button of form.querySelectorAll("[aria-disabled]")) button.removeAttribute("aria-disabled");
}

// What is shown once is gone when the browser takes the page from its memory.
addEventListener("pageshow", (event) => event.persisted && find("[data-shown-once]") && location.reload());

// A page that comes back from the browser's memory, or a download that leaves the page where it is.
addEventListener("pageshow", () => document.querySelectorAll("form[data-is-sent]").forEach(allowAgain));
document.addEventListener("htmx:finally:request", () => document.querySelectorAll("form[data-is-sent]").forEach(allowAgain));

// ── Colours ────────────────────────────────────────────────────────────────────────────────────────────────────────

document.addEventListener("submit", (event) => {
  const form = event.target.closest("[data-theme-form]");
  if (!form) return;
  event.preventDefault();
  const chosen = event.submitter.value;
  const body = new FormData(form, event.submitter);
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
  find("meta[name=color-scheme]").content = chosen || "light dark";
  for (const button of form.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button === event.submitter));
  document.dispatchEvent(new Event("colours"));
  fetch(form.action, { method: "POST", body, redirect: "manual" });
});

// ── Times ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const STEPS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [30 * 86400, 86400, "d"]]; // as formats.py has them

function ago(at) {
  const seconds = (Date.now() - at) / 1000;
  const distance = Math.abs(seconds);
  if (distance < 10) return "just now";
  const step = STEPS.find(([limit]) => distance < limit);
  if (!step) return null; // the day, as the server has written it
  const text = `${Math.floor(distance / step[1])} ${step[2]}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

setInterval(() => {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = ago(Date.parse(time.dateTime));
    if (text && text !== time.textContent) time.textContent = text;
  }
}, 10_000);

// ── Keys ───────────────────────────────────────────────────────────────────────────────────────────────────────────

let isGoing = false; // after g, for a second

function isTyping(element) {
  return element.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || find("dialog[open]")) return;
  if (isGoing) {
    isGoing = false;
    const link = find(`.side [data-letter="${CSS.escape(event.key)}"]`);
    if (link) location.assign(link.href);
  } else if (event.key === "g") {
    isGoing = true;
    setTimeout(() => (isGoing = false), 1000);
  } else if (event.key === "/") {
    const search = find("main input[type=search]");
    if (!search) return;
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "?") {
    listKeys();
  }
});

function listKeys() {
  const list = find("#letters");
  list.replaceChildren();
  for (const link of document.querySelectorAll(".side [data-letter]")) {
    const term = document.createElement("dt");
    const key = (text) => Object.assign(document.createElement("kbd"), { textContent: text });
    term.append(key("g"), " ", key(link.dataset.letter));
    list.append(term, Object.assign(document.createElement("dd"), { textContent: link.textContent.trim() }));
  }
  find("#keys").showModal();
}

// ── The drawer ─────────────────────────────────────────────────────────────────────────────────────────────────────
// A link with hx-get, hx-target="#drawer-content" opens it; in a new tab, or without scripts, it leads to
// a page. While it is open the address is that page's: going back closes the drawer, a reload shows the page.

const shown = location.pathname; // what the server has sent as a whole page
const SETTLED = 100; // ms after which the browser has gone back, and has put the focus where it wants it
let isGoingBack = false;
let opener = null;

document.addEventListener("htmx:after:swap", () => {
  const drawer = find("#drawer");
  if (!find("#drawer-content").childElementCount) return;
  const opened = find("#drawer-content [data-address]")?.dataset.address;
  if (opened && drawer.open) history.replaceState({ drawer: true }, "", opened);
  else if (opened) history.pushState({ drawer: true }, "", opened);
  if (drawer.open) return;
  opener = document.activeElement;
  drawer.showModal();
});

addEventListener("popstate", () => {
  const drawer = find("#drawer");
  if (!drawer?.open && !isGoingBack) {
    if (location.pathname !== shown) location.reload();
    return;
  }
  isGoingBack = true;
  drawer.close();
  setTimeout(() => {
    isGoingBack = false;
    opener?.focus({ preventScroll: true });
  }, SETTLED);
});

// What lies under the drawer is still there: nothing needs to be fetched.
document.addEventListener("htmx:before:history:restore", (event) => isGoingBack && event.preventDefault());

document.addEventListener("DOMContentLoaded", () => {
  const drawer = find("#drawer");
  drawer?.addEventListener("close", () => {
    find("#drawer-content").replaceChildren();
    if (isGoingBack || !history.state?.drawer) return;
    isGoingBack = true;
    history.back();
  });
  // Beside a dialog is outside of it, though the browser takes it for the dialog.
  drawer?.addEventListener("click", (event) => event.target === drawer && drawer.close());
});

// ── Forms that ask: what is left empty is no part of the address ───────────────────────────────────────────────────

document.addEventListener("formdata", (event) => {
  if (!event.target.matches("[data-lean]")) return;
  for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
});
