// <chatelaine-chat>: the attributes of the page on one side, the view and the conversation on the other.

// Past what an `<img name="currentScript">` of somebody else in the page would make of it.
const HOME = Object.getOwnPropertyDescriptor(Document.prototype, "currentScript").get.call(document);
const SOURCE = HOME?.src || location.href;
const ACTIONS = ["open", "close", "toggle", "send", "stop", "end", "destroy"];
// Marks what the script made itself. Turbo leaves such elements out of its cached pages.
const OWN = "data-turbo-temporary";
const chats = new WeakMap();

const complain = (sentence) => console.error("Chatelaine: " + sentence);

const optionsOf = (host) => {
  const o = {};
  for (const [name, value] of Object.entries(host.dataset)) if (value.trim()) o[name] = value.trim();
  // `…/widget/chat-widget.js` belongs to the server at `…/`.
  o.server = (o.server || new URL("..", SOURCE).href).replace(/\/+$/, "");
  o.mode = /^(inline|page)$/.test(o.mode) ? o.mode : o.target ? "inline" : "popup";
  o.run = o.runId || o.deploymentId;
  o.getToken = host.getToken;
  o.embeddingOrigin = host.embeddingOrigin;
  return o;
};

// The reason why there can be no chat, naming the attribute.
const mistakeIn = (o) => {
  if (/(^|,)(sk|fln|cf)_/.test([o.widgetKey, o.apiKey, o.participantToken])) return "an attribute holds a server key: revoke it";
  const needed = o.apiUrl || o.apiKey ? ["apiUrl", "apiKey"] : o.getToken || o.deploymentId ? [] : o.runId ? ["participantToken"] : ["widgetKey", "agentId"];
  const missing = needed.find((name) => !o[name]);
  return missing && `data-${missing.replace(/[A-Z]/, (letter) => "-" + letter.toLowerCase())} is missing`;
};

const makeChat = (host) => {
  const o = optionsOf(host);
  const store = openStore(o.storage, ["chatelaine", o.apiUrl || o.server, o.run || o.agentId, o.embeddingOrigin].join());
  const isPopup = o.mode === "popup";
  let talk = null;
  let isOpen = false;

  const emit = (name, detail) => host.dispatchEvent(new CustomEvent("chatelaine:" + name, { detail, bubbles: true, composed: true }));
  // Nothing is asked of the server before this.
  const begin = async () => {
    if (talk) return talk.begin();
    const now = optionsOf(host);
    const mistake = mistakeIn(now);
    if (mistake) {
      complain(mistake);
      return view.notice(view.W.unavailable);
    }
    let maker = makeTalk;
    if (now.run) {
      maker = (await import(new URL("chat-run.js", SOURCE)).catch(() => 0)).default;
      if (talk) return;
      if (!maker) return view.notice(view.W.unavailable, view.W.retry, begin);
    }
    talk = maker(now, store, view, make, render);
    view.setLimit(talk.limit);
    talk.begin();
  };
  const chat = {
    open(takesFocus = true) {
      if (isOpen) return;
      isOpen = true;
      if (isPopup) store.save({ isOpen });
      view.setAgent();
      view.setOpen(true, takesFocus);
      begin();
      emit("open");
    },
    close() {
      if (!isOpen || !isPopup) return;
      isOpen = false;
      store.save({ isOpen });
      view.setOpen(false);
      emit("close");
    },
    toggle: () => (isOpen ? chat.close() : chat.open()),
    send(value) {
      const text = String(value).trim();
      view.setAgent();
      begin();
      if (!text || !talk || !talk.send(text)) return false;
      emit("message", { role: "user", text });
      return true;
    },
    stop: () => talk?.stop(),
    end() {
      begin();
      talk?.end();
    },
    attach() {
      const signal = view.attach();
      const wake = () => !document.hidden && talk?.wake();
      document.addEventListener("visibilitychange", wake, { signal });
      for (const name of ["online", "pageshow"]) window.addEventListener(name, wake, { signal });
      if (o.mode === "inline") {
        const watcher = new IntersectionObserver(([seen]) => {
          if (!seen.isIntersecting) return;
          watcher.disconnect();
          chat.open(false);
        });
        watcher.observe(host);
      } else if (!isPopup || store.state.isOpen || (host.hasAttribute("data-open") && o.open !== "false")) chat.open(false);
      emit("ready");
    },
    detach: () => view.detach(),
    destroy() {
      talk?.suspend();
      view.detach();
    },
  };
  const view = makeView(host, host.attachShadow({ mode: "closed" }), o, { ...chat, emit });
  return chat;
};

class ChatElement extends HTMLElement {
  connectedCallback() {
    // A copy of ours, out of a cache of pages.
    if (this.hasAttribute(OWN) && own !== this) return this.remove();
    // What the page sets right after it made the element is to count.
    queueMicrotask(() => {
      const isNew = !chats.has(this);
      if (!this.isConnected || !(isNew || this.isAway)) return;
      if (isNew) chats.set(this, makeChat(this));
      this.isAway = false;
      chats.get(this).attach();
    });
  }

  disconnectedCallback() {
    // A move is a removal and an insertion: only what is still gone a moment later has left.
    setTimeout(() => {
      if (this === own) place();
      if (this.isConnected || this.isAway || !chats.has(this)) return;
      this.isAway = true;
      chats.get(this).detach();
    });
  }
}

for (const name of ACTIONS) {
  ChatElement.prototype[name] = function (value) {
    const chat = chats.get(this);
    const result = chat?.[name](value);
    if (name === "destroy") {
      if (this === own) own = null;
      chats.delete(this);
      this.remove();
    }
    return result;
  };
}
