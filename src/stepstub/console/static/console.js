// Keeps a page of the console up to date, and gives it keys. Without it every page works as well.
"use strict";
(() => {
  const EVERY = 1000, SLOWEST = 10000, MOST_ROWS = 1000;
  const $ = (id) => document.getElementById(id);
  let paused = false, misses = 0, timer = 0, offset = 0, later = false;

  const say = (text) => { $("said").textContent = text; };

  const show = (text, lost = false) => {
    const state = $("state");
    if (!state || state.textContent === text) return;
    state.textContent = text;
    state.classList.toggle("lost", lost);
  };

  // --- time: the sandbox's clock goes on between two polls

  const pad = (number) => String(number).padStart(2, "0");

  const inWords = (ms) => {
    let left = Math.max(Math.round(ms / 1000), 0);
    const parts = [];
    for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
      const amount = Math.floor(left / length);
      left %= length;
      if (amount || (unit === "s" && !parts.length)) parts.push(`${amount} ${unit}`);
    }
    return parts.slice(0, 2).join(" ");
  };

  const synchronise = () => {
    const clock = $("clock");
    if (clock) offset = Number(clock.dataset.now) - performance.now();
  };

  const now = () => {
    const clock = $("clock");
    return clock.dataset.frozen === "yes" ? Number(clock.dataset.now) : offset + performance.now();
  };

  const tick = () => {
    const clock = $("clock");
    if (!clock) return;
    const time = new Date(now());
    const text = [time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds()].map(pad).join(":");
    const shown = clock.querySelector(".now");
    if (shown.textContent !== text) shown.textContent = text;
    for (const each of document.querySelectorAll("[data-until]")) {
      const left = Number(each.dataset.until) - time;
      each.textContent = `${inWords(left)} left`;
      if (left <= 0) later = true; // the step has failed, which is no change that a poll is told of
    }
  };

  // --- what is polled

  const keepFocus = (change) => {
    const { id } = document.activeElement || {};
    change();
    if (id && $(id) && document.activeElement !== $(id)) $(id).focus({ preventScroll: true });
  };

  const replace = (fresh) => {
    const old = $(fresh.id);
    if (!old || old.outerHTML === fresh.outerHTML) return;
    for (const each of fresh.querySelectorAll("details[id]")) each.open = Boolean($(each.id)?.open);
    old.replaceWith(fresh);
  };

  const numberOf = (row) => Number(row.dataset.number);

  // The newest page comes whole. Older rows that were loaded stay, if nothing is missing between.
  const merge = (fresh) => {
    const old = $("exchanges");
    const [rows, shown] = [fresh, old].map((each) => [...each.querySelectorAll("li[data-number]")]);
    const known = new Map(shown.map((row) => [row.dataset.number, row]));
    const lowest = rows.length ? numberOf(rows.at(-1)) : Infinity;
    const sameStub = old.dataset.revision.split(".")[0] === fresh.dataset.revision.split(".")[0];
    const rest = shown.filter((row) => numberOf(row) < lowest);
    const joins = sameStub && fresh.querySelector("#older") && shown.some((row) => numberOf(row) >= lowest);
    if (joins && rest.length) {
      fresh.querySelector(".rows").append(...rest.slice(0, MOST_ROWS));
      fresh.querySelector(".older").replaceWith(...old.querySelectorAll(".older"));
    }
    for (const row of rows) {
      const before = known.get(row.dataset.number);
      if (!before) row.classList.add("fresh");
      else if (sameStub && before.innerHTML === row.innerHTML) row.replaceWith(before);
    }
    old.replaceWith(fresh);
    if (!sameStub) say("The sandbox was reset, or the stub restarted.");
  };

  const take = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    keepFocus(() => {
      for (const id of ["tabs", "clock", "lanes"]) if (fresh.getElementById(id)) replace(fresh.getElementById(id));
      merge(fresh.getElementById("exchanges"));
    });
    synchronise();
    tick();
  };

  const poll = async () => {
    clearTimeout(timer);
    const exchanges = $("exchanges");
    if (paused || document.hidden || exchanges.dataset.paged === "yes") return;
    const url = new URL(exchanges.dataset.live, location);
    if (!later) url.searchParams.set("seen", exchanges.dataset.revision);
    later = false;
    try {
      const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(8000) });
      if (response.status === 401) return location.reload();
      if (response.status === 404) return show("This sandbox is gone", true);
      if (response.status === 200) take(await response.text());
      else if (response.status !== 204) throw new Error(response.status);
      if (misses) say("Live again.");
      misses = 0;
      show("Live");
    } catch {
      if (!misses++) say("The stub does not respond. Trying again.");
      show("No response; trying again", true);
    }
    timer = setTimeout(poll, Math.min(EVERY * 2 ** Math.min(misses, 5), SLOWEST));
  };

  const pause = () => {
    paused = !paused;
    const button = $("pause");
    button.textContent = paused ? "Resume" : "Pause";
    button.setAttribute("aria-pressed", String(paused));
    show(paused ? "Paused" : "Live");
    if (!paused) poll();
  };

  const older = async (link) => {
    const response = await fetch(link.href, { cache: "no-store" });
    if (!response.ok) return location.assign(link.href);
    const page = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("exchanges");
    const first = page.querySelector("li[data-number] a");
    $("exchanges").querySelector(".rows").append(...page.querySelectorAll("li[data-number]"));
    $("exchanges").querySelector(".older").replaceWith(...page.querySelectorAll(".older"));
    first?.focus({ preventScroll: true });
  };

  // --- copying

  const copy = async (id) => {
    const text = $(id).textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch { // no secure context: the page is not on a loopback address
      const area = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    show("Copied");
    say("Copied.");
  };

  // --- keys

  const move = (by) => {
    const rows = [...document.querySelectorAll("a.row")];
    if (!rows.length) return;
    const at = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement));
    const from = at >= 0 ? at : rows.findIndex((row) => row.hasAttribute("aria-current"));
    const row = rows[Math.min(Math.max(from + by, 0), rows.length - 1)];
    if (document.querySelector(".detail")) {
      if (!row.hasAttribute("aria-current")) location.assign(row.href);
    } else {
      row.focus();
    }
  };

  const keys = {
    j: () => move(1),
    k: () => move(-1),
    "/": () => $("search")?.focus(),
    c: () => $("curl-text") && copy("curl-text"),
    p: () => $("pause") && pause(),
    "?": () => $("help").showModal(),
    Escape: () => $("up") && location.assign($("up").href),
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, dialog");
    if (typing && event.key === "Escape") event.target.blur?.();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (button) copy(button.dataset.copy);
    const link = event.target.closest?.("#older");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      older(link);
    }
  });

  for (const each of document.querySelectorAll("[data-copy], #pause, #keys")) each.hidden = false;
  $("pause")?.addEventListener("click", pause);
  $("keys")?.addEventListener("click", keys["?"]);
  synchronise();
  tick();
  setInterval(tick, 500);
  document.querySelector(".row[aria-current]")?.scrollIntoView({ block: "center" });
  if ($("exchanges")) {
    if ($("exchanges").dataset.paged === "yes") $("pause").hidden = true;
    document.addEventListener("visibilitychange", () => document.hidden || poll());
    timer = setTimeout(poll, EVERY);
    show($("exchanges").dataset.paged === "yes" ? "" : "Live");
  }
})();
