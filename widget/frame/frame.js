// The chat in a frame. The page around it says, in one message, which key and bot it wants:
//
//   frame.contentWindow.postMessage({ type: "chatelaine", key: "tk_widget_…", agent: "bot_…" }, "https://chat.example.com")
//
// The key is never in an address. Which page that is, the browser says (`event.origin`), and the
// server checks it against the key's list on every call: a page cannot name another in its place.
(function () {
  "use strict";

  // What the page around may choose; the rest is decided here.
  var CHOICES = [
    "title", "welcomeMessage", "inputPlaceholder", "primaryColor", "accentColor", "lang", "theme", "storage", "user",
  ];
  var TOLD = ["ready", "open", "close", "error"];
  var around = window.parent;
  var origin = null;

  // To exactly the page that began, and nothing of what was said in the chat.
  function tell(event) {
    around.postMessage({ type: "chatelaine:" + event }, origin);
  }

  function start(asked) {
    var options = {};
    CHOICES.forEach(function (name) {
      if (asked.options && typeof asked.options[name] === "string") options[name] = asked.options[name];
    });
    document.documentElement.lang = options.lang || navigator.language || "en";
    options.widgetKey = String(asked.key);
    options.agentId = String(asked.agent);
    options.server = location.origin;
    options.mode = "page";
    options.embeddingOrigin = origin;
    // Calls made before the script is here wait in the queue that it reads.
    var queue = function () {
      (queue.q = queue.q || []).push(arguments);
    };
    window.Chatelaine = window.Chatelaine || queue;
    TOLD.forEach(function (event) {
      window.Chatelaine("on", event, function () {
        tell(event);
      });
    });
    window.Chatelaine("init", options);
    var script = document.createElement("script");
    script.src = "/widget/chat-widget.js";
    document.head.appendChild(script);
  }

  if (around === window) {
    document.addEventListener("DOMContentLoaded", function () {
      document.body.textContent = "This page is to be embedded in another page.";
    });
    return;
  }
  window.addEventListener("message", function (event) {
    var asked = event.data;
    // A sandboxed page has no origin to be checked by.
    if (event.source !== around || origin !== null || event.origin === "null") return;
    if (!asked || asked.type !== "chatelaine" || !asked.key || !asked.agent) return;
    origin = event.origin;
    start(asked);
  });
})();
