// Copy buttons, colours, keys.

const $ = (id) => document.getElementById(id);
const root = document.documentElement;

async function copy(button) {
  const from = button.dataset.copyFrom;
  const text = from ? $(from).textContent : button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
    button.dataset.copied = "";
    $("announce").textContent = "copied";
    setTimeout(() => button.removeAttribute("data-copied"), 1500);
  } catch {
    const range = document.createRange();
    range.selectNodeContents(from ? $(from) : button.previousElementSibling || button);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }
}

const THEMES = ["auto", "light", "dark"];

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
  root.dataset.theme = next;
  document.cookie = `staging-theme=${next}; Path=/; Max-Age=31536000; SameSite=Strict`;
  $("theme").title = `Colours: ${next}`;
  $("theme").lastElementChild.textContent = `Change colours, now ${next}`;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) copy(button);
});

$("theme")?.closest("form").addEventListener("submit", (event) => { event.preventDefault(); nextTheme(); });

// A form refused because of another caller's lock is sent again automatically, on request.
for (const button of document.querySelectorAll("[data-wait]")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const waits = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(waits));
    button.textContent = waits ? "Stop waiting" : "Wait for it";
  });
}

// --- Lists that collect new rows: a button with their number shows them.

function countFresh() {
  for (const list of document.querySelectorAll("[data-collects]")) {
    const button = $(list.dataset.collects);
    const count = list.querySelectorAll("[data-fresh]").length;
    button.hidden = count === 0;
    button.textContent = `${count} new`;
  }
}

document.addEventListener("news", countFresh);
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-fresh-of]");
  if (!button) return;
  const list = document.querySelector(`[data-collects="${button.id}"]`);
  for (const row of list.querySelectorAll("[data-fresh]")) row.removeAttribute("data-fresh");
  list.querySelector("a")?.focus();
  countFresh();
});

// On a phone the navigation is one row: scroll it to the current page, without scrolling the page.
const current = document.querySelector(".rail [aria-current]");
if (current) current.closest(".rail").scrollLeft = current.offsetLeft - 40;

// --- Keys: single letters, switched off by a box (WCAG 2.1.4), never while typing.

const keysOn = () => localStorage.getItem("staging-keys") !== "off";
let afterG = 0;

function moveRow(step) {
  const rows = [...document.querySelectorAll("main tbody tr")].filter((row) => row.querySelector("a"));
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.dataset.current !== undefined);
  const row = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  if (at >= 0) rows[at].removeAttribute("data-current");
  row.dataset.current = "";
  row.querySelector("a").focus();
}

const KEYS = {
  "/": () => $("q").focus(),
  "?": () => $("keys").showModal(),
  p: () => $("pulse")?.click(),
  t: nextTheme,
  j: () => moveRow(1),
  k: () => moveRow(-1),
  g: () => { afterG = Date.now(); },
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !keysOn()) return;
  if (Date.now() - afterG < 1500) {
    const link = [...document.querySelectorAll("[data-key]")].find((a) => a.matches(".rail a") && a.dataset.key === event.key);
    afterG = 0;
    if (link) { event.preventDefault(); link.click(); return; }
  }
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

$("keys-on").checked = keysOn();
$("keys-on").addEventListener("change", (event) => localStorage.setItem("staging-keys", event.target.checked ? "on" : "off"));
