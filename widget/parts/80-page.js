// The page's side: one widget for one script, and `Chatelaine(…)`.

// What the script made for the page; a `<chatelaine-chat>` that the page wrote is the page's own.
let own = null;
const element = () => own || document.querySelector("chatelaine-chat");

const place = () => {
  if (!own || own.isConnected) return;
  const parent = own.dataset.target ? document.querySelector(own.dataset.target) : document.body;
  parent?.append(own);
};

const init = (options) => {
  if (own) return place();
  const host = document.createElement("chatelaine-chat");
  for (const [name, value] of Object.entries(options)) {
    if (typeof value === "function" || name === "embeddingOrigin") host[name] = value;
    else if (value != null) host.dataset[name] = value;
  }
  const mistake = mistakeIn(optionsOf(host));
  if (mistake) return complain(mistake);
  host.setAttribute(OWN, "");
  own = host;
  place();
};

const commands = {
  init,
  identify: ({ user }) => (element().dataset.user = user || ""),
  on: (name, handle) => document.addEventListener("chatelaine:" + name, handle),
  off: (name, handle) => document.removeEventListener("chatelaine:" + name, handle),
};
for (const name of ACTIONS) {
  // The element comes to life a moment after it is made.
  commands[name] = (value) => queueMicrotask(() => element() && element()[name](value));
}

const data = { ...HOME?.dataset };
const earlier = window.Chatelaine;
const isSecond = earlier?.init;
const isConfigured = Object.keys(data).length > 0;

if (!isSecond) {
  window.Chatelaine = Object.assign((name, ...values) => (commands[name] ? commands[name](...values) : complain(`there is no command ${name}`)), commands);
  customElements.define("chatelaine-chat", ChatElement);
  for (const call of earlier?.q || []) window.Chatelaine(...call);
  for (const name of ["DOMContentLoaded", "turbo:load", "astro:page-load"]) document.addEventListener(name, place);
  window.addEventListener("load", () => {
    if (own && !own.isConnected) complain("data-target matches nothing on this page");
    else if (!element() && !isConfigured) complain("data-widget-key is missing");
  });
}
if (isConfigured) (isSecond ? earlier : commands).init(data);
