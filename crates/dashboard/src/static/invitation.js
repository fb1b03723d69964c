"use strict";

const names = ["token", "name", "password", "again"];

takeToken("name");

function refuse(status, error) {
  if (status === 404) {
    showFieldError("token", "This link is wrong, used, taken back, or too old.");
    showProblem("Ask whoever invited you for a new link.");
    byId("token").focus();
  } else if (status === 409) {
    showProblem(`${error.message || "This address is a member already"}. Whoever invited you can use another address.`);
    byId("problem").focus();
  } else {
    explain(names, status, error);
  }
}

// For a shell, whatever is in it: a quote ends the text, comes as itself, and opens it again.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

async function finish({ data }, { password }) {
  await signIn(data.email, password);
  byId("who").textContent = data.name;
  byId("email").textContent = data.email;
  byId("role").textContent = data.role;
  const body = quoted(JSON.stringify({ email: data.email, password: "..." }));
  byId("curl").textContent = [
    `curl -sS -c cookies.txt ${location.origin}/v1/sign-in -H 'Origin: ${location.origin}' -H 'Content-Type: application/json' -d ${body}`,
    `curl -sS -b cookies.txt ${location.origin}/v1/me`,
  ].join("\n");
  showDone();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  showProblem("");
  let missing = findMissing(names);
  if (byId("again").value !== "" && byId("again").value !== byId("password").value) {
    showFieldError("again", "This is not the same password.");
    missing = missing || byId("again");
  }
  if (missing !== null) {
    missing.focus();
    return;
  }
  const body = { token: byId("token").value.trim(), name: byId("name").value.trim(), password: byId("password").value };
  send("/v1/invitations/accept", body, finish, refuse);
});
byId("copy-curl").addEventListener("click", () => copy(byId("curl").textContent, "The lines"));
