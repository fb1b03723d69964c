"use strict";

// The editor of definitions: says in which line one is, and leads to the line of a fault.

const area = document.querySelector("textarea[data-lines]");
const where = document.getElementById("cursor-line");

function tell() {
  const before = area.value.slice(0, area.selectionStart);
  where.textContent = `Line ${before.split("\n").length} of ${area.value.split("\n").length}.`;
}

function select(line) {
  const lines = area.value.split("\n");
  const from = lines.slice(0, line - 1).reduce((length, one) => length + one.length + 1, 0);
  area.focus();
  area.setSelectionRange(from, from + (lines[line - 1] ?? "").length);
  area.scrollTop = (area.scrollHeight * (line - 1)) / lines.length - area.clientHeight / 2;
  area.scrollLeft = 0;
  tell();
}

if (area && where) {
  for (const name of ["input", "keyup", "click", "focus"]) {
    area.addEventListener(name, tell);
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]");
    if (link && Number(link.dataset.line) > 0) {
      event.preventDefault();
      select(Number(link.dataset.line));
    }
  });
  tell();
}
