// Keeps the page fresh: asks for it again and puts the parts marked data-live
// in place. All rendering, and all escaping, happens on the server.
(() => {
  "use strict";
  const every = 5000;
  const note = document.getElementById("freshness");
  let failures = 0;

  async function refresh() {
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (response.redirected) return location.assign(response.url); // the login has ended
      const type = response.headers.get("Content-Type") || "";
      if (!type.startsWith("text/html")) throw new Error("no page");
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live]")) {
        const other = fresh.getElementById(part.id);
        // Whoever is reading or selecting in a part is not to be disturbed.
        const selection = getSelection();
        const selecting = selection && !selection.isCollapsed && part.contains(selection.anchorNode);
        if (!other || other.innerHTML === part.innerHTML || selecting || part.contains(document.activeElement)) continue;
        part.replaceChildren(...other.childNodes);
      }
      document.title = fresh.title;
      failures = 0;
      note.textContent = "Live";
      note.className = "live";
    } catch {
      failures++;
      if (failures === 2) {
        note.textContent = "No connection: figures may be old";
        note.className = "stale";
      }
    }
  }

  const tick = () => (document.hidden ? Promise.resolve() : refresh()).finally(() => setTimeout(tick, every));
  setTimeout(tick, every);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  note.textContent = "Live";
  note.className = "live";
})();
