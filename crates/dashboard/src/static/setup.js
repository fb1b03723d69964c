"use strict";

const byId = (id) => document.getElementById(id);
const form = byId("form");
const names = ["token", "workspace_name", "email", "password"];

// The token leaves the address bar at once, so that no history and no screenshot keeps it.
if (location.hash.length > 1) {
  byId("token").value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  byId("workspace_name").focus();
} else {
  byId("token").focus();
}

function showFieldError(name, message) {
  const input = byId(name);
  byId(`${name}-error`).textContent = message;
  if (message) {
    input.setAttribute("aria-invalid", "true");
  } else {
    input.removeAttribute("aria-invalid");
  }
}

function showProblem(message) {
  const problem = byId("problem");
  problem.textContent = message;
  problem.hidden = message === "";
}

// What a browser can tell without asking; the server says the same, and decides.
function findMissing() {
  let first = null;
  for (const name of names) {
    const input = byId(name);
    const message = input.value === "" ? "This is needed." : input.validity.valid ? "" : input.validationMessage;
    showFieldError(name, message);
    if (message && first === null) {
      first = input;
    }
  }
  return first;
}

function explain(status, error) {
  if (status === 404) {
    showFieldError("token", "This token is wrong, used, or over 30 minutes old.");
    showProblem("Restart the server: it prints a new link while there is no workspace.");
    byId("token").focus();
    return;
  }
  let first = null;
  const others = [];
  for (const { field, message } of error.errors || []) {
    if (names.includes(field)) {
      showFieldError(field, message);
      first = first || byId(field);
    } else {
      others.push(message);
    }
  }
  showProblem(first && others.length === 0 ? "" : others.join(" ") || error.message || `The server answered ${status}.`);
  (first || byId("problem")).focus();
}

async function send(event) {
  event.preventDefault();
  showProblem("");
  const missing = findMissing();
  if (missing !== null) {
    missing.focus();
    return;
  }
  const body = Object.fromEntries(names.map((name) => [name, byId(name).value]));
  body.token = body.token.trim();
  byId("send").disabled = true;
  try {
    const answer = await fetch("/v1/setup", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      credentials: "omit",
    });
    const json = await answer.json().catch(() => ({}));
    if (answer.ok) {
      finish(json.key);
    } else {
      explain(answer.status, json.error || {});
    }
  } catch {
    showProblem("The server could not be reached. Is it still running?");
    byId("problem").focus();
  } finally {
    byId("send").disabled = false;
  }
}

function finish(key) {
  form.reset();
  form.hidden = true;
  byId("key").value = key;
  byId("curl").textContent = `curl -sS ${location.origin}/v1/me -H 'Authorization: Bearer ${key}'`;
  byId("done").hidden = false;
  byId("done-title").focus();
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = `${what} copied.`;
  } catch {
    byId("copied").textContent = "The browser does not let this page copy; select the text and copy it by hand.";
  }
}

form.addEventListener("submit", send);
byId("key").addEventListener("focus", (event) => event.target.select());
byId("copy-key").addEventListener("click", () => copy(byId("key").value, "The key"));
byId("copy-curl").addEventListener("click", () => copy(byId("curl").textContent, "The line"));
