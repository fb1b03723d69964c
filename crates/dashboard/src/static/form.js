"use strict";

// What the forms of our pages share. Each page's script says what it sends, and what it shows when that was taken.

const byId = (id) => document.getElementById(id);
const form = byId("form");

// The token leaves the address bar at once, so that no history and no screenshot keeps it.
function takeToken(next) {
  if (location.hash.length > 1) {
    byId("token").value = decodeURIComponent(location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
    byId(next).focus();
  } else {
    byId("token").focus();
  }
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

function reasonOf(input) {
  const value = input.type === "password" ? input.value : input.value.trim();
  if (value === "") {
    return input.required ? "This is needed." : "";
  }
  return input.validity.valid ? "" : input.validationMessage;
}

// What a browser can tell without asking; the server says the same, and decides.
function findMissing(names) {
  let first = null;
  for (const name of names) {
    const input = byId(name);
    const message = reasonOf(input);
    showFieldError(name, message);
    if (message && first === null) {
      first = input;
    }
  }
  return first;
}

// Shows what the server says at the fields that it names, and the rest above them.
function explain(names, status, error) {
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

// Sends what was typed in. `finish` gets the answer; `refuse` the status and the error.
async function send(path, body, finish, refuse) {
  byId("send").disabled = true;
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      credentials: "omit",
    });
    const json = await answer.json().catch(() => ({}));
    if (answer.ok) {
      await finish(json, body);
    } else {
      refuse(answer.status, json.error || {});
    }
  } catch {
    showProblem("The server could not be reached. Is it still running?");
    byId("problem").focus();
  } finally {
    byId("send").disabled = false;
  }
}

// Signs this browser in with what was typed in a moment ago. Where that fails, the dashboard asks again.
async function signIn(email, password) {
  try {
    await fetch("/v1/sign-in", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ email, password }),
      credentials: "same-origin",
    });
  } catch {
    // The link leads to the page where one signs in.
  }
}

// The form makes room for what comes after it.
function showDone() {
  form.reset();
  form.hidden = true;
  byId("done").hidden = false;
  byId("done-title").focus();
}

// Whether it is on the clipboard now.
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    byId("copied").textContent = `${what} copied.`;
    return true;
  } catch {
    byId("copied").textContent = "The browser does not let this page copy; select the text and copy it by hand.";
    return false;
  }
}
