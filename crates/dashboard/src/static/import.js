"use strict";

// Sends a file of contacts from the disk to the API; without a file, or without this, the form sends what was pasted.

const form = document.querySelector("form[data-import]");
const status = document.getElementById("import-said");

// `Kunde = name`, a line for each column.
function mapping(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const pairs = lines.map((line) => {
    const at = line.lastIndexOf("=");
    return [line.slice(0, Math.max(at, 0)).trim(), line.slice(at + 1).trim()];
  });
  return pairs.length === 0 ? "" : JSON.stringify(Object.fromEntries(pairs));
}

function query() {
  const parameters = new URLSearchParams();
  for (const name of ["match", "on_match", "tags", "delimiter"]) {
    const value = form.elements[name].value.trim();
    if (value !== "") {
      parameters.set(name, value);
    }
  }
  const columns = mapping(form.elements.mapping.value);
  if (columns !== "") {
    parameters.set("mapping", columns);
  }
  return parameters;
}

async function send(file) {
  const headers = {
    "content-type": "text/csv",
    "idempotency-key": form.elements.once.value,
    "x-environment": form.dataset.import,
  };
  const answer = await fetch(`/v1/contacts/import?${query()}`, { method: "POST", headers, body: file });
  const said = await answer.json();
  if (!answer.ok) {
    const fields = (said.error.errors ?? []).map((error) => error.message);
    throw new Error([said.error.message, ...fields].join(" "));
  }
  location.assign(`/_/contacts/imports/${said.data.id}`);
}

form.addEventListener("submit", async (event) => {
  const file = document.getElementById("f-file").files[0];
  if (!file) {
    return;
  }
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  status.textContent = `Sending ${file.name}. Leave this page open until it is there.`;
  try {
    await send(file);
  } catch (error) {
    status.textContent = `Nothing was imported. ${error.message}`;
    button.disabled = false;
  }
});
