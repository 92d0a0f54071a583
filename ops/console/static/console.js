// What makes pages lively. Each of them works without it.
"use strict";

// Marked elements are made anew from the page itself, every so many seconds, while somebody can see them.
const held = (element) => document.hidden || element.contains(document.activeElement) || element.querySelector("details[open], dialog[open]");

async function refresh() {
  const answer = await fetch(location.href, { headers: { "x-refresh": "1" }, redirect: "error" });
  document.getElementById("stale").hidden = answer.ok;
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-refresh]")) {
    const made = page.getElementById(old.id);
    if (made && !held(old)) { old.replaceWith(made); zoned(made); }
  }
}

function again() {
  const seconds = [...document.querySelectorAll("[data-refresh]")].map((element) => Number(element.dataset.refresh));
  if (!seconds.length) return;
  setTimeout(() => (document.hidden ? Promise.resolve() : refresh()).catch(() => { document.getElementById("stale").hidden = false; }).finally(again), 1000 * Math.min(...seconds));
}

// A time shows, when pointed at, the viewer's own zone beside UTC.
function zoned(root) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium", timeStyle: "long" });
  for (const time of root.querySelectorAll("time")) time.title = `${format.format(new Date(time.dateTime))} · ${time.title}`;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const words = button.textContent;
  button.textContent = "✓";
  setTimeout(() => { button.textContent = words; }, 1200);
});

document.addEventListener("change", (event) => { if (event.target.matches("[data-submit]")) event.target.form.submit(); });
for (const element of document.querySelectorAll("[data-reload]")) setTimeout(() => location.reload(), 1000 * element.dataset.reload);
for (const dialog of document.querySelectorAll("dialog[data-open]")) { dialog.close(); dialog.showModal(); }
zoned(document);
again();
