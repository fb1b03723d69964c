"use strict";

const names = ["token", "workspace_name", "name", "email", "password"];

takeToken("workspace_name");

function refuse(status, error) {
  if (status !== 404) {
    explain(names, status, error);
    return;
  }
  showFieldError("token", "This token is wrong, used, or over 30 minutes old.");
  showProblem("Is there an owner already? Then sign in. Else restart the server: it prints a new link while there is no workspace.");
  byId("token").focus();
}

// The first key is shown once: the browser asks before the page is left, until the key was copied or is said to be kept.
let isUnsaved = false;

addEventListener("beforeunload", (event) => {
  if (isUnsaved) {
    event.preventDefault();
  }
});

async function finish({ key }, { email, password }) {
  isUnsaved = true;
  await signIn(email.trim(), password);
  byId("key").value = key;
  byId("curl").textContent = `curl -sS ${location.origin}/v1/me -H 'Authorization: Bearer ${key}'`;
  showDone();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  showProblem("");
  const missing = findMissing(names);
  if (missing !== null) {
    missing.focus();
    return;
  }
  const body = Object.fromEntries(names.map((name) => [name, byId(name).value]));
  body.token = body.token.trim();
  if (body.name.trim() === "") {
    delete body.name;
  }
  send("/v1/setup", body, finish, refuse);
});
byId("key").addEventListener("focus", (event) => event.target.select());
const keep = async (copying) => {
  isUnsaved = !(await copying) && isUnsaved;
};
byId("copy-key").addEventListener("click", () => keep(copy(byId("key").value, "The key")));
byId("copy-curl").addEventListener("click", () => keep(copy(byId("curl").textContent, "The line")));
byId("go").addEventListener("click", () => {
  isUnsaved = false;
});
