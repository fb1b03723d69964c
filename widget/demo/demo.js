// The demo page. The widget key, or the deployment of a public survey, comes in the fragment of the
// address, which no browser sends to a server; the key also from the form.
(function () {
  "use strict";

  var body = document.body;
  var by = function (id) {
    return document.getElementById(id);
  };

  function line(source, attributes, integrity) {
    var names = Object.keys(attributes).map(function (name) {
      return " " + name + '="' + attributes[name] + '"';
    });
    var more = integrity ? ' integrity="' + integrity + '" crossorigin="anonymous"' : "";
    return '<script src="' + source + '"' + names.join("") + more + " async></script>";
  }

  // As a customer's page would have it.
  function embed(attributes) {
    var script = document.createElement("script");
    script.src = "/widget/chat-widget.js";
    script.async = true;
    Object.keys(attributes).forEach(function (name) {
      script.setAttribute(name, attributes[name]);
    });
    body.appendChild(script);
    var server = body.dataset.server;
    by("snippet").textContent = line(server + "/widget/chat-widget.js", attributes);
    by("snippet-pinned").textContent = line(server + body.dataset.pinned, attributes, body.dataset.integrity);
    by("snippets").hidden = false;
  }

  // What stands in the line to copy is what these are made of, and nothing that would end an attribute.
  function clean(text) {
    return /^[A-Za-z0-9_-]{1,128}$/.test(text || "") ? text : "";
  }

  function asked() {
    var given = new URLSearchParams(location.hash.slice(1));
    return { key: clean(given.get("key")), agent: clean(given.get("agent")), deployment: clean(given.get("deployment")) };
  }

  by("copy").addEventListener("click", function () {
    var copied = function () {
      by("copied").textContent = "Copied.";
    };
    var not = function () {
      by("copied").textContent = "This browser does not let a page copy; select the line instead.";
    };
    if (navigator.clipboard) navigator.clipboard.writeText(by("snippet").textContent).then(copied, not);
    else not();
  });
  by("form").addEventListener("submit", function (event) {
    event.preventDefault();
    var key = clean(by("key").value.trim());
    var agent = clean(by("agent").value.trim());
    if (key && agent) location.hash = new URLSearchParams({ key: key, agent: agent }).toString();
  });
  // One chat a page: another key begins a new one.
  window.addEventListener("hashchange", function () {
    location.reload();
  });

  var wanted = asked();
  if (wanted.deployment) {
    // Not a word of widget keys: a survey that anybody may start has none.
    by("about").textContent =
      "This page embeds a public survey with one line, as a page of yours would. Whoever opens it starts a run of " +
      "their own. Revoke the deployment, and the survey ends at once.";
    by("where").textContent = "Put it before </body>, on any page.";
    embed({ "data-deployment-id": wanted.deployment });
  } else if (wanted.key && wanted.agent) {
    embed({ "data-widget-key": wanted.key, "data-agent-id": wanted.agent });
  } else {
    by("form").hidden = false;
    by("key").value = wanted.key;
    by("agent").value = wanted.agent;
  }
})();
