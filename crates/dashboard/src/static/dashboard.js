"use strict";

// What the dashboard's pages share. Each page reads, and each form works, without this.

const said = document.getElementById("said");

function say(words) {
  if (said) {
    said.textContent = words;
    setTimeout(() => { said.textContent = ""; }, 2000);
  }
}

// Once a secret that is shown once was copied, nothing is lost when the page is left.
let unsaved = document.querySelector("[data-shown-once]") !== null;

addEventListener("beforeunload", (event) => {
  if (unsaved) {
    event.preventDefault();
  }
});

async function copy(button) {
  const target = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(target.textContent);
    say("Copied.");
    button.dataset.copied = "";
    unsaved = false;
  } catch {
    getSelection().selectAllChildren(target);
    say("The browser does not let this page copy. The text is selected: copy it by hand.");
    unsaved = false;
  }
}

// Shows the rows of a list on the page that hold what was typed: scopes, and other lists that are not long.
function filter(input) {
  const wanted = input.value.trim().toLowerCase();
  for (const row of document.querySelectorAll(input.dataset.filter)) {
    row.hidden = wanted !== "" && !row.textContent.toLowerCase().includes(wanted);
  }
}

function begin(root) {
  for (const element of root.querySelectorAll("[data-copy], [data-filter], [data-select-all], [data-needs-script]")) {
    element.hidden = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) {
    copy(button);
  }
  if (event.target.closest("[data-saved]")) {
    unsaved = false;
  }
});

document.addEventListener("input", (event) => {
  if (event.target.matches("[data-filter]")) {
    filter(event.target);
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) {
    for (const box of document.querySelectorAll(event.target.dataset.selectAll)) {
      box.checked = event.target.checked;
    }
  }
});

// Parts that htmx put in are begun, too.
document.addEventListener("htmx:after:swap", () => begin(document));

begin(document);
document.querySelector("[data-focus]")?.focus();
