"use strict";

// The tail of the requests: rows that come over the stream of the API, put on top of the list.

const button = document.getElementById("follow");
const words = document.getElementById("following");
const rows = document.getElementById("rows");
const MOST = 200;
let source = null;

function two(number) {
  return String(number).padStart(2, "0");
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// As the server writes it.
function shown(at) {
  const clock = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map(two).join(":");
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}, ${clock}`;
}

const PAGES = { key: "api-keys", usr: "members" };
// What the rows that came with the page call keys and people, by their pages.
const names = new Map([...rows.querySelectorAll("td a")].map((link) => [link.getAttribute("href"), link.textContent]));

// Who asked; a key or a person leads to its page.
function name(cell, credential) {
  if (!credential) {
    cell.textContent = "–";
    return;
  }
  const page = PAGES[credential.id.split("_")[0]];
  const link = document.createElement(page ? "a" : "span");
  if (page) {
    link.href = `/_/${page}/${credential.id}`;
  }
  const known = names.get(link.getAttribute("href"));
  if (known) {
    link.textContent = known;
  } else {
    link.append(Object.assign(document.createElement("code"), { textContent: credential.id }));
  }
  cell.append(`${credential.kind.replaceAll("_", " ")} `, link);
}

function add(request) {
  const row = document.getElementById("row").content.cloneNode(true).querySelector("tr");
  const [when, , answer, who, from] = row.children;
  const at = new Date(request.created_at);
  const time = when.querySelector("time");
  time.dateTime = request.created_at;
  time.textContent = shown(at);
  row.querySelector("th code").textContent = `${request.method} ${request.path}`;
  const [badge, message] = answer.querySelectorAll("span");
  badge.classList.add(request.code ? "wrong" : "good");
  badge.textContent = request.code ? `${request.status} ${request.code}` : String(request.status);
  message.textContent = request.message ?? `${(request.duration_us / 1000).toFixed(1)} ms`;
  name(who, request.credential);
  from.textContent = [request.ip ?? "–", request.origin].filter(Boolean).join(" ");
  row.querySelector("input[name=request_id]").value = request.id;
  row.querySelector("button").setAttribute("aria-label", `Explain request ${request.id}`);
  rows.prepend(row);
  while (rows.children.length > MOST) {
    rows.lastElementChild.remove();
  }
  document.getElementById("requests").hidden = false;
  document.getElementById("nothing")?.remove();
}

function stop(said) {
  source?.close();
  source = null;
  button.setAttribute("aria-pressed", "false");
  button.textContent = "Follow";
  words.textContent = said;
}

function start() {
  source = new EventSource(`/v1/requests/stream?environment=${button.dataset.environment}`);
  button.setAttribute("aria-pressed", "true");
  button.textContent = "Stop following";
  words.textContent = "Connecting…";
  source.addEventListener("open", () => { words.textContent = "New requests appear on top."; });
  source.addEventListener("message", (event) => {
    const told = JSON.parse(event.data);
    if (told.type === "request") {
      add(told);
    } else if (told.type === "error") {
      stop(told.code === "revoked" ? "You are signed out, or may not see this any more." : "The server has ended it.");
    }
  });
  source.addEventListener("error", () => {
    if (source?.readyState === EventSource.CLOSED) {
      stop("The server did not let it begin.");
    } else if (source) {
      words.textContent = "Connecting again…";
    }
  });
}

button.hidden = false;
button.addEventListener("click", () => (source ? stop("") : start()));
