// Script of the pages: refresh and clocks; tools.js has the rest.
// Every page works without this file. No text of a page is ever used as HTML or code here: the
// browser parses responses as documents, and their elements are moved.

const LOOK_MS = 2000;
const SLOWEST_MS = 30000;
const STREAM_AGAIN_MS = 60000;
const root = document.documentElement;
const $ = (id) => document.getElementById(id);
let skew = Date.parse(document.body.dataset.now) - Date.now();
root.dataset.script = "";

// --- Times: absolute times in the reader's zone, and ages that tick by the server's clock.

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function duration(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [length, unit] of UNITS) {
    const count = Math.floor(left / length);
    left %= length;
    if (count) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

const local = new Intl.DateTimeFormat(undefined, {
  day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

function showTimes(within) {
  for (const time of within.querySelectorAll("time[data-local]")) {
    const at = new Date(time.dateTime);
    time.textContent = local.format(at);
    time.title = `${local.format(at)} here, ${time.dateTime}`;
    time.removeAttribute("data-local");
  }
}

function tick() {
  const now = Date.now() + skew;
  for (const time of document.querySelectorAll("time[data-age]")) {
    const away = (now - Date.parse(time.dateTime)) / 1000;
    const text = duration(time.dataset.age === "until" ? -away : away);
    if (time.textContent !== text) time.textContent = text;
  }
}

// --- Refresh: request only the live parts of the page; 304 if nothing but the time has changed.

const news = { etag: "", paused: false, failures: 0, unchanged: 0, at: Date.now(), timer: 0, asking: null };

function say(state, text) {
  const pulse = $("pulse");
  if (!pulse) return;
  pulse.hidden = false;
  pulse.dataset.state = state;
  pulse.setAttribute("aria-pressed", String(state === "paused"));
  pulse.title = state === "paused" ? "Go on (p)" : "Pause (p)";
  $("pulse-text").textContent = text;
}

function schedule() {
  clearTimeout(news.timer);
  if (news.paused || document.hidden) return;
  // A page that has not changed for a while is refreshed less often: every 6 s, or with a stream
  // every 30 s, because no event reports changes that only time causes.
  const slower = Math.min(1 + Math.floor(news.unchanged / 3), 3);
  const rests = stream.open && news.unchanged > 0 && !news.failures;
  const wait = rests ? SLOWEST_MS : Math.min(LOOK_MS * slower * 2 ** Math.min(news.failures, 4), SLOWEST_MS);
  news.timer = setTimeout(look, wait);
}

// --- The event stream reports that something changed; the page then refreshes itself.

const stream = { open: false, source: null, letGo: null, turn: 0, again: 0 };
// Without HTTP/2 a browser opens six connections to a host; tabs may use this many for streams.
const STREAM_PLACES = ["staging-stream-1", "staging-stream-2", "staging-stream-3"];

function listen() {
  if (!document.body.dataset.topics || !navigator.locks) return;
  stopListening();
  takePlace(stream.turn, STREAM_PLACES);
}

function takePlace(turn, [place, ...others]) {
  if (turn !== stream.turn) return;
  if (!place) {
    stream.again = setTimeout(listen, STREAM_AGAIN_MS);
    return;
  }
  navigator.locks.request(place, { ifAvailable: true }, (got) => {
    if (!got) { takePlace(turn, others); return null; }
    if (turn !== stream.turn) return null;
    return new Promise((letGo) => { stream.letGo = letGo; openStream(); });
  });
}

function openStream() {
  const source = new EventSource(`/ui/live?topics=${encodeURIComponent(document.body.dataset.topics)}`);
  stream.source = source;
  source.onopen = () => { stream.open = true; lookSoon(); };
  source.addEventListener("changed", lookSoon);
  source.onerror = () => {
    stream.open = false;
    schedule();
    if (source.readyState !== EventSource.CLOSED) return;
    stopListening();
    stream.again = setTimeout(listen, STREAM_AGAIN_MS);
  };
}

function stopListening() {
  clearTimeout(stream.again);
  stream.source?.close();
  stream.letGo?.();
  Object.assign(stream, { open: false, source: null, letGo: null, turn: stream.turn + 1 });
}

// Keep the usual interval to the last refresh, and do not refresh all tabs at the same time.
function lookSoon() {
  news.unchanged = 0;
  if (news.paused || document.hidden || news.asking) return;
  clearTimeout(news.timer);
  const since = Date.now() - news.at;
  news.timer = setTimeout(look, Math.max(0, LOOK_MS - since) + Math.random() * 300);
}

function look() {
  if (news.asking) return;
  const ask = new XMLHttpRequest();
  news.asking = ask;
  ask.open("GET", location.href);
  ask.responseType = "document";
  ask.timeout = 20000;
  ask.setRequestHeader("X-Live", "1");
  ask.setRequestHeader("Accept", "text/html");
  if (news.etag) ask.setRequestHeader("If-None-Match", news.etag);
  ask.onloadend = () => {
    news.asking = null;
    heard(ask);
    schedule();
  };
  ask.send();
}

function heard(ask) {
  if (ask.status === 200 && ask.response && ask.response.getElementById("main")) {
    news.etag = ask.getResponseHeader("ETag") || "";
    take(ask.response);
  }
  if (ask.status === 200 || ask.status === 304) {
    news.failures = 0;
    news.unchanged = ask.status === 304 ? news.unchanged + 1 : 0;
    news.at = Date.now();
    $("main").classList.remove("stale");
    const older = ask.getResponseHeader("X-Build");
    say("live", older && older !== root.dataset.build ? "new version: reload" : "live");
  } else if (ask.status === 401) {
    say("paused", "signed out");
    news.paused = true;
    stopListening();
  } else {
    news.failures += 1;
    $("main").classList.add("stale");
    say("reconnecting", `reconnecting, showing ${local.format(new Date(news.at))}`);
  }
}

function take(page) {
  const now = Date.parse(page.body.dataset.now);
  if (now) skew = now - Date.now();
  for (const part of page.querySelectorAll("[data-live]")) {
    const mine = part.id && $(part.id);
    if (mine) merge(mine, document.adoptNode(part));
  }
  if (document.title !== page.title) document.title = page.title;
  const icon = page.querySelector("link[rel=icon]");
  const mine = document.querySelector("link[rel=icon]");
  if (icon && mine && icon.getAttribute("href") !== mine.getAttribute("href")) mine.href = icon.href;
  showTimes($("main"));
  document.dispatchEvent(new Event("news"));
  announce();
}

// Attributes that only this page sets on an element.
const KEPT = new Set(["data-current", "data-copied", "data-fresh"]);

// Make `mine` equal to `theirs`, and change only what differs, so that focus, selection, scrolling,
// open details and half-filled forms are kept. Children are matched by their data-key or id.
function merge(mine, theirs) {
  if (mine.nodeType !== Node.ELEMENT_NODE) {
    if (mine.data !== theirs.data) mine.data = theirs.data;
    return;
  }
  if (mine.tagName === "TIME" && mine.dateTime === theirs.dateTime && mine.dataset.age === theirs.dataset.age) return;
  if (mine.tagName === "FORM" || mine.contains(document.activeElement) && mine.matches("input, select, textarea")) return;
  for (const { name } of [...mine.attributes]) {
    if (!theirs.hasAttribute(name) && !(mine.tagName === "DETAILS" && name === "open") && !KEPT.has(name)) mine.removeAttribute(name);
  }
  for (const { name, value } of [...theirs.attributes]) {
    if (mine.tagName === "DETAILS" && name === "open") continue;
    if (mine.getAttribute(name) !== value) mine.setAttribute(name, value);
  }
  mergeChildren(mine, theirs);
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset?.key || node.id || "" : "");

function mergeChildren(mine, theirs) {
  const known = new Map();
  for (const child of mine.childNodes) if (keyOf(child)) known.set(keyOf(child), child);
  let next = mine.firstChild;
  for (const wanted of [...theirs.childNodes]) {
    const key = keyOf(wanted);
    const found = key ? known.get(key) : next;
    const alike = found && found.nodeType === wanted.nodeType && found.nodeName === wanted.nodeName && keyOf(found) === key;
    if (!alike) {
      // Some lists show new rows only on request (tools.js), so that rows do not move.
      if (key && mine.dataset?.collects !== undefined) wanted.dataset.fresh = "";
      mine.insertBefore(document.adoptNode(wanted), next);
      continue;
    }
    if (found !== next) mine.insertBefore(found, next);
    else next = next.nextSibling;
    merge(found, wanted);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
}

// Announce changes of the watched page to screen readers, at most every 5 s.
let announced = 0;
function announce() {
  const watched = document.querySelector("[data-announce]");
  const line = $("announce");
  if (!watched || !line || Date.now() - announced < 5000) return;
  const text = watched.dataset.announce;
  if (line.dataset.last !== undefined && line.dataset.last !== text) {
    line.textContent = text;
    announced = Date.now();
  }
  line.dataset.last = text;
}

function pause(on) {
  news.paused = on;
  if (on) {
    clearTimeout(news.timer);
    stopListening();
    say("paused", "paused");
  } else {
    look();
    listen();
  }
}

// --- Countdowns. Copy buttons, colours and keys are in tools.js.

function countDown() {
  for (const place of document.querySelectorAll("[data-countdown], [data-reload]")) {
    const left = Math.max(0, Number(place.textContent) - 1);
    place.textContent = String(left);
    if (left === 0 && place.dataset.reload !== undefined) location.reload();
  }
  const waits = document.querySelector("[data-wait][aria-pressed=true]");
  if (waits && waits.form.querySelector("[data-countdown]").textContent === "0") {
    waits.removeAttribute("aria-pressed");
    waits.form.requestSubmit();
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.querySelector("[data-live-page]") || news.paused) return;
  if (document.hidden) { clearTimeout(news.timer); stopListening(); say("paused", "paused while hidden"); }
  else { look(); listen(); }
});

$("pulse")?.addEventListener("click", () => pause(!news.paused));

showTimes(document);
tick();
setInterval(() => { tick(); countDown(); }, 1000);
$("problem")?.focus();
if (document.querySelector("[data-live-page]")) {
  say("live", "live");
  announce();
  schedule();
  if (!document.hidden) listen();
}
