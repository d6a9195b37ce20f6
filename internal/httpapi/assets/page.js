// Keeps the page fresh: follows the alerts as they come, asks for the page
// again, and puts the parts marked data-live in place. All rendering, and all
// escaping, happens on the server.
(() => {
  "use strict";
  const every = 5000, soonest = 1000, leave = 30000;
  const { base, at } = document.body.dataset;
  const note = document.getElementById("freshness");
  const lost = document.getElementById("lost");
  const news = document.getElementById("news");
  let failures = 0, asked = 0, busy = false, again = false, events = "opening", since = Date.now();

  function say() {
    const gone = failures >= 2;
    const text = gone ? "No connection: figures may be old"
      : events === "open" ? "Live: alerts appear as they come" : "Alerts appear within 5 seconds: their events do not come";
    if (note.textContent !== text) note.textContent = text;
    note.className = gone ? "stale" : events === "open" ? "live" : "slower";
    lost.hidden = !gone;
    const old = "The connection is lost. What you see is as of " + new Date(since).toISOString().slice(11, 19) + " UTC.";
    if (!gone) return;
    if (lost.textContent !== old) lost.textContent = old;
    const health = document.getElementById("health"), unknown = "How things are now is not known.";
    health.className = "health bad";
    if (health.lastElementChild.textContent !== unknown) health.lastElementChild.textContent = unknown;
  }

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    asked = Date.now();
    try {
      const response = await fetch(at, { headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(leave) });
      if (response.redirected) return location.assign(response.url); // the login has ended
      const type = response.headers.get("Content-Type") || "";
      if (!type.startsWith("text/html")) throw new Error("no page");
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) put(part, fresh.getElementById(part.id));
      document.title = fresh.title;
      failures = 0;
      since = Date.now();
    } catch {
      failures++;
    } finally {
      busy = false;
    }
    say();
    if (again) { again = false; soon(); }
  }

  function put(part, other) {
    // Whoever is reading or selecting in a part is not to be disturbed.
    const selection = getSelection();
    const selecting = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
    if (!other || selecting || part.contains(document.activeElement)) return;
    for (const old of part.querySelectorAll("details[id]")) {
      const now = other.querySelector("#" + CSS.escape(old.id));
      if (now && old.open) now.open = true;
    }
    if (other.innerHTML !== part.innerHTML || part.querySelector("#health.bad")) part.replaceChildren(...other.childNodes);
  }

  let waiting = 0;
  function soon() {
    if (waiting || document.hidden) return;
    waiting = setTimeout(() => { waiting = 0; refresh(); }, Math.max(100, asked + soonest - Date.now()));
  }

  function follow() {
    const stream = new EventSource(base + "/api/v1/alerts/stream");
    const over = () => { stream.close(); events = "closed"; say(); setTimeout(follow, every); };
    stream.onopen = () => { events = "open"; say(); };
    stream.onerror = () => {
      if (stream.readyState === EventSource.CLOSED) return over();
      events = "closed";
      say();
    };
    stream.addEventListener("alert", (e) => {
      try {
        const a = JSON.parse(e.data);
        news.textContent = "New alert: user " + a.user_id + ", rule " + a.rule.id;
      } catch { /* the page has it in a moment */ }
      soon();
    });
    for (const told of ["reset", "gap"]) stream.addEventListener(told, soon);
    for (const told of ["slow", "end"]) stream.addEventListener(told, over);
  }

  async function copy(text, what) {
    const copied = document.getElementById("copied");
    try {
      await navigator.clipboard.writeText(text);
      copied.textContent = what + " is copied.";
    } catch {
      copied.textContent = "The browser does not let this page copy; select it instead.";
    }
  }
  document.addEventListener("click", (e) => {
    const json = e.target.closest("[data-copy]"), link = e.target.closest("[data-copy-link]");
    if (json) copy(document.getElementById(json.dataset.copy).textContent, "The alert");
    if (link) { e.preventDefault(); copy(link.href, "The link"); }
  });

  const tick = () => (document.hidden ? Promise.resolve() : refresh()).finally(() => setTimeout(tick, every));
  setTimeout(tick, every);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  follow();
  say();
})();
