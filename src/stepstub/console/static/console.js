// Keeps a page of the console up to date, and gives it keys. Without it every page works as well.
"use strict";
(() => {
  const EVERY = 1000, SLOWEST = 10000, MOST_ROWS = 1000;
  const $ = (id) => document.getElementById(id);
  let paused = false, misses = 0, timer = 0, offset = 0, later = false, owed = false, gone = false;

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
      const kept = rest.slice(0, MOST_ROWS);
      fresh.querySelector(".rows").append(...kept);
      if (kept.length === rest.length) {
        fresh.querySelector(".older").replaceWith(...old.querySelectorAll(".older"));
      } else { // go on below the last row that is left, or those that were dropped would be missing
        const link = fresh.querySelector("#older"), address = new URL(link.href);
        address.searchParams.set("before", numberOf(kept.at(-1)));
        link.href = address;
      }
    }
    for (const row of rows) {
      const before = known.get(row.dataset.number);
      if (!before) row.classList.add("fresh");
      else if (sameStub && before.innerHTML === row.innerHTML) row.replaceWith(before);
    }
    old.replaceWith(fresh);
    if (!sameStub && !gone) say("The sandbox was reset, or the stub restarted.");
  };

  const key = (node) => [node.nodeName, node.id, node.classList?.[0]].join();

  // Changes only what differs, so that the focus, scroll positions and what is unfolded stay.
  const mend = (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const name of new Set([old, fresh].flatMap((each) => each.getAttributeNames()))) {
      if (name === "open" || name === "hidden" || old.getAttribute(name) === fresh.getAttribute(name)) continue;
      if (fresh.hasAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
      else old.removeAttribute(name);
    }
    let at = old.firstChild;
    for (const node of [...fresh.childNodes]) {
      let same = at;
      while (same && key(same) !== key(node)) same = node.nodeType === Node.ELEMENT_NODE ? same.nextSibling : null;
      if (!same) {
        old.insertBefore(node, at);
        continue;
      }
      while (at !== same) [at] = [at.nextSibling, at.remove()];
      at = same.nextSibling;
      mend(same, node);
    }
    while (at) [at] = [at.nextSibling, at.remove()];
  };

  const inUse = () => {
    const current = $("current"), selection = getSelection(), focused = document.activeElement;
    if (!current) return false;
    return (!selection.isCollapsed && selection.containsNode(current, true))
      || (current.contains(focused) && focused.matches("input, textarea, select"));
  };

  const vanish = (text, to, label) => {
    gone = true;
    const note = Object.assign(document.createElement("p"), { className: "alert", textContent: `${text} ` });
    note.append(Object.assign(document.createElement("a"), { href: document.querySelector(to).href, textContent: label }));
    $("current").replaceChildren(note);
    say(text);
  };

  const parse = (text) => new DOMParser().parseFromString(text, "text/html");
  const get = (url) => fetch(url, { cache: "no-store", signal: AbortSignal.timeout(8000) });
  const stub = (part) => part.dataset.revision.split(".")[0];

  // Something has changed. A page of one thing is fetched itself; a list is in `text`.
  const take = async (text) => {
    let fresh = parse(text);
    const current = $("current"), list = fresh.getElementById("exchanges");
    if (current && !gone) {
      const response = await get(location.href);
      const another = $("exchanges") && stub($("exchanges")) !== stub(list); // its numbers mean others
      if (response.status === 404 || another) {
        vanish("This is gone: there was a reset, or the stub was restarted.", "#tabs a", "Back to the exchanges");
      } else if (!response.ok) {
        throw new Error(response.status);
      } else {
        fresh = parse(await response.text());
        owed = inUse();
        if (!owed) {
          mend(current, fresh.getElementById("current"));
          document.title = fresh.title;
        }
      }
    }
    keepFocus(() => {
      for (const id of ["tabs", "clock", "lanes"]) {
        if ($(id) && fresh.getElementById(id)) replace(fresh.getElementById(id));
      }
      if ($("exchanges")) merge(fresh.getElementById("exchanges"));
      else current.dataset.revision = list.dataset.revision;
    });
    reveal();
    synchronise();
    tick();
  };

  const polled = () => $("exchanges") || $("current");
  const isOld = () => polled().dataset.paged === "yes" && !$("current");

  const poll = async () => {
    clearTimeout(timer);
    if (paused || document.hidden || isOld()) return;
    const url = new URL(polled().dataset.live, location);
    if (!later && (!owed || inUse())) url.searchParams.set("seen", polled().dataset.revision);
    later = false;
    try {
      const response = await get(url);
      if (response.status === 401) return location.reload();
      if (response.status === 404) {
        show("This sandbox is gone", true);
        if ($("current")) vanish("This sandbox is gone.", ".brand", "Back to the sandboxes");
        return;
      }
      if (response.status === 200) await take(await response.text());
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
    "/": () => {
      if ($("find")) $("find").open = true; // it folds the fields on a narrow screen
      $("search")?.focus();
    },
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

  const reveal = () => {
    for (const each of document.querySelectorAll("[data-copy], #pause, #keys")) each.hidden = false;
  };

  reveal();
  $("pause")?.addEventListener("click", pause);
  $("keys")?.addEventListener("click", keys["?"]);
  synchronise();
  tick();
  setInterval(tick, 500);
  document.querySelector(".row[aria-current]")?.scrollIntoView({ block: "center" });
  if (polled()) {
    if (isOld()) $("pause").hidden = true;
    document.addEventListener("visibilitychange", () => document.hidden || poll());
    timer = setTimeout(poll, EVERY);
    show(isOld() ? "" : "Live");
  }
})();
