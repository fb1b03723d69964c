"use strict";

// Streams the answers of a bot that is tried out. Without it the form is sent as it is, and the page comes back.

const form = document.getElementById("try");
const thread = document.getElementById("thread");
const words = document.getElementById("f-message");
const error = document.getElementById("try-error");
const headers = { "content-type": "application/json", "x-environment": form.dataset.environment };

// Adds what somebody says; returns where its text goes.
function add(role, who) {
  const item = document.createElement("li");
  item.className = `said ${role}`;
  const name = document.createElement("p");
  name.className = "who";
  const strong = document.createElement("strong");
  strong.textContent = who;
  name.append(strong);
  const text = document.createElement("p");
  text.className = "words";
  item.append(name, text);
  thread.append(item);
  item.scrollIntoView({ block: "nearest" });
  return text;
}

async function refusal(response) {
  try {
    const body = await response.json();
    const fields = (body.error.errors ?? []).map((one) => `${one.field} ${one.message}`);
    return [body.error.message, ...fields].join(": ");
  } catch {
    return `The server answered ${response.status}.`;
  }
}

async function post(path, body) {
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) {
    throw new Error(await refusal(response));
  }
  return response;
}

async function conversation() {
  if (form.elements.conversation.value === "") {
    const response = await post(`/v1/bots/${form.dataset.bot}/trials`, {});
    const { data } = await response.json();
    form.elements.conversation.value = data.conversation_id;
    // Loaded again, the page shows the same conversation.
    history.replaceState(null, "", `?conversation=${data.conversation_id}`);
  }
  return form.elements.conversation.value;
}

// The events of a stream, one after the other.
async function* events(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    rest += decoder.decode(value, { stream: true });
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const line = block.split("\n").find((one) => one.startsWith("data: "));
      if (line) {
        yield JSON.parse(line.slice(6));
      }
    }
  }
}

async function send(message) {
  const response = await post(`/v1/trials/${await conversation()}/messages`, { message });
  add("user", "User").textContent = message;
  words.value = "";
  const answer = add("assistant", "Bot");
  for await (const event of events(response)) {
    if (event.type === "chunk") {
      answer.textContent += event.delta;
    } else if (event.type === "error") {
      throw new Error(`${event.message}.`);
    } else if (event.type === "stream_end") {
      return;
    }
  }
  throw new Error("The connection was lost. Load the page again to see what came.");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  error.textContent = "";
  button.disabled = true;
  thread.setAttribute("aria-busy", "true");
  try {
    await send(words.value);
  } catch (reason) {
    error.textContent = reason.message;
  } finally {
    button.disabled = false;
    thread.removeAttribute("aria-busy");
    words.focus();
  }
});
