// What a visitor sees and hears. It knows nothing of servers: `on` has what the buttons do.

const makeView = (host, root, o, on) => {
  const { tag, W } = chooseLanguage(o.lang, document.documentElement.lang, navigator.language);
  const isPopup = o.mode === "popup";
  const small = matchMedia("(max-width:480px),(max-height:480px)");
  const night = matchMedia("(prefers-color-scheme:dark)");
  const seen = window.visualViewport;
  let isOpen = false;
  let isBusy = false;
  let isBlocked = false;
  let agent = "Chat";
  let frame = 0;
  let first = null;
  let listening = null;

  const placeholder = o.inputPlaceholder || W.placeholder;
  const title = make("div", { class: "t", id: "t" });
  const header = make("div", { class: "h", part: "header" }, title, iconButton("end", W.end, () => view.notice(W.end + "?", "OK", on.end)));
  const log = make("div", { class: "l", part: "log", role: "log", "aria-live": "off", "aria-labelledby": "t", tabindex: 0 });
  const spoken = make("div", { class: "v", "aria-live": "polite" });
  const notices = make("div", { class: "n", role: "status" });
  const input = make("textarea", { part: "input", rows: 1, "aria-label": placeholder, placeholder, enterkeyhint: "send" });
  const sendButton = iconButton("send", W.send, () => (isBusy ? on.stop() : submit()), { class: "k s", part: "send" });
  const panel = make("div", { class: "p", part: "panel", id: "p", role: isPopup ? "dialog" : "group", "aria-labelledby": "t" },
    header, log, notices, make("div", { class: "f" }, make("div", { class: "e" }, input, sendButton)));
  const launcher = iconButton("chat", W.open, () => on.toggle(), { class: "o", part: "launcher", "aria-expanded": false, "aria-controls": "p" });
  const outer = make("div", { class: `r ${o.mode} ${o.position}`, role: o.mode !== "page" || document.querySelector("main") ? "region" : "main", lang: tag, dir: /^(ar|he|fa|ur)/.test(tag) ? "rtl" : "ltr" }, panel, spoken);
  if (isPopup) {
    header.append(iconButton("close", W.close, () => on.close()));
    outer.append(launcher);
    panel.hidden = true;
  }

  // Says what is finished. A second later it is gone, so that nobody meets it twice.
  const announce = (text) => {
    const line = make("div", null, text);
    spoken.append(line);
    setTimeout(() => line.remove(), 1000);
  };
  // Follows the conversation only for somebody who reads its end.
  const grow = (change, isOwn) => {
    const follows = isOwn || log.scrollHeight - log.scrollTop - log.clientHeight < 60;
    change();
    if (follows) log.scrollTop = log.scrollHeight;
  };

  const message = (role, at) => {
    const body = make("div", { class: "c" });
    const status = make("span");
    const author = make("span", { class: "v" }, (role === "user" ? W.you : o.title || agent) + ": ");
    const time = new Date(at || Date.now()).toLocaleTimeString(tag, { hour: "numeric", minute: "2-digit" });
    const node = make("div", { class: role === "user" ? "m u" : "m", part: "message " + role }, author, body, make("div", { class: "i" }, time + " ", status));
    return { node, body, status };
  };
  const removeReply = (item) => {
    item.reply?.node.remove();
    item.reply = null;
  };
  const draw = (item) => {
    if (!item.reply) return;
    const { body } = item.reply;
    if (item.answer) render(body, item.answer, W);
    else {
      body.shown = null;
      body.replaceChildren(make("div", { class: "y" }, make("i"), make("i"), make("i"), item.tool || make("span", { class: "v" }, W.typing)));
    }
  };

  const paint = () => {
    sendButton.setAttribute("aria-disabled", !isBusy && (isBlocked || !input.value.trim()));
    input.setAttribute("aria-disabled", isBlocked);
    input.readOnly = isBlocked;
  };
  const fit = () => {
    input.style.setProperty("height", "auto");
    input.style.setProperty("height", input.scrollHeight + "px");
    paint();
  };
  const submit = () => {
    const text = input.value.trim();
    if (isBlocked || !text || !on.send(text)) return;
    input.value = "";
    fit();
  };

  // Theme and size; the colour of the text on the accent is computed, so that any accent can be read.
  const dress = () => {
    const isFull = isPopup && small.matches;
    outer.classList.toggle("dark", o.theme === "dark" || (o.theme !== "light" && night.matches));
    outer.classList.toggle("full", isFull);
    if (isPopup) panel.setAttribute("aria-modal", isFull);
    if (isFull && seen) {
      // A phone's keyboard covers the page without resizing it: the panel takes what is left to see.
      panel.style.setProperty("--h", seen.height + "px");
      panel.style.setProperty("--o", seen.offsetTop + "px");
    }
    const accent = o.primaryColor || o.accentColor || getComputedStyle(host).getPropertyValue("--chatelaine-accent");
    outer.style.setProperty("color", accent);
    const rgb = accent && /^rgba?\((\d+), (\d+), (\d+)/.exec(getComputedStyle(outer).color);
    outer.style.removeProperty("color");
    if (!rgb) return;
    outer.style.setProperty("--a", accent);
    outer.style.setProperty("--on", readableOn(rgb.slice(1)));
  };

  input.addEventListener("input", fit);
  input.addEventListener("keydown", (event) => {
    const { key } = event;
    if (event.isComposing) return;
    if (key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (!isBusy) submit();
    } else if (/^Page/.test(key) && !input.value) {
      event.preventDefault();
      log.scrollBy(0, (key === "PageUp" ? -0.8 : 0.8) * log.clientHeight);
    }
  });
  outer.addEventListener("keydown", (event) => {
    if (!isPopup || !isOpen || event.isComposing) return;
    if (event.key === "Escape") on.close();
    if (event.key === "Tab" && small.matches) {
      // On a phone the panel covers the page, so focus stays in it.
      const stops = panel.querySelectorAll("button,textarea,a,[tabindex]");
      const ends = [stops[0], stops[stops.length - 1]];
      if (event.shiftKey) ends.reverse();
      if (root.activeElement === ends[1]) {
        event.preventDefault();
        ends[0].focus();
      }
    }
  });

  root.adoptedStyleSheets = [styleSheet()];
  root.append(outer);
  paint();

  const view = {
    W,
    root,
    emit: on.emit,
    attach() {
      listening = new AbortController();
      const { signal } = listening;
      for (const source of [small, night]) source.addEventListener("change", dress, { signal });
      for (const name of ["resize", "scroll"]) seen?.addEventListener(name, dress, { signal });
      dress();
      return signal;
    },
    detach: () => listening.abort(),
    setOpen(open, takesFocus) {
      const had = root.activeElement;
      isOpen = open;
      panel.hidden = isPopup && !open;
      outer.classList.toggle("is-open", open);
      launcher.setAttribute("aria-expanded", open);
      relabel(launcher, open ? "down" : "chat", open ? W.close : W.open);
      if (open) launcher.classList.remove("unread");
      dress();
      grow(() => {}, true);
      if (open ? takesFocus : had) (open ? input : launcher).focus();
    },
    setLimit: (limit) => input.setAttribute("maxlength", limit),
    setAgent(name, greeting) {
      agent = name || agent;
      title.textContent = o.title || agent;
      outer.setAttribute("aria-label", title.textContent);
      if (o.run || (first && !greeting)) return;
      if (!first) log.prepend((first = message()).node);
      render(first.body, o.welcomeMessage || greeting || W.welcome, W);
    },
    setBusy(busy) {
      isBusy = busy;
      relabel(sendButton, busy ? "stop" : "send", busy ? W.stop : W.send);
      paint();
    },
    setBlocked(blocked) {
      isBlocked = blocked;
      paint();
    },
    note: (text) => grow(() => log.append(make("div", { class: "m i" }, text))),
    // A countdown's figure changes for the eye alone.
    notice(text, label, action, figure) {
      if (figure && notices.shown === text) return void (notices.lastChild.textContent = figure + " s");
      notices.shown = text;
      notices.replaceChildren(...(text ? [text] : []));
      if (figure) notices.append(" ", make("span", { "aria-hidden": true }, figure + " s"));
      if (label) {
        notices.append(" ", make("button", { onclick: () => {
          view.setBlocked(false);
          view.notice();
          input.focus();
          action();
        } }, label));
      }
      grow(() => {});
    },
    say(role, text, at) {
      const it = message(role, at);
      if (role === "user") it.body.append(make("div", { dir: "auto" }, text));
      else render(it.body, text, W);
      grow(() => log.append(it.node), true);
      return it;
    },
    show(item) {
      if (item.view) log.append(item.view.node);
      else item.view = view.say("user", item.text);
    },
    // A message that waits for the connection shows it; one that is being answered shows the dots.
    status(item, text) {
      item.view.status.textContent = text;
      if (text && !item.answer) removeReply(item);
      else if (!item.reply) view.waitFor(item);
      else draw(item);
    },
    waitFor(item) {
      if (!item.view) view.show(item);
      item.view.status.textContent = "";
      removeReply(item);
      item.reply = message();
      draw(item);
      grow(() => item.view.node.after(item.reply.node));
      if (!item.isAnnounced) announce(W.typing);
      item.isAnnounced = true;
    },
    // At most once in a frame, and four times a second for very long texts.
    stream(item) {
      if (frame) return;
      const next = () => {
        frame = 0;
        grow(() => draw(item));
      };
      frame = item.answer.length > 20000 ? setTimeout(next, 250) : requestAnimationFrame(next);
    },
    tool(item, name) {
      item.tool = name && name + "…";
      draw(item);
    },
    finish(item) {
      item.view.status.textContent = "";
      if (!item.answer) return removeReply(item);
      grow(() => draw(item));
      announce(item.reply.body.textContent);
      if (isPopup && !isOpen) launcher.classList.add("unread");
      on.emit("message", { role: "assistant", text: item.answer });
    },
    fail(item, text, again) {
      const { status } = item.view;
      if (!item.answer) removeReply(item);
      status.textContent = text;
      announce(text);
      if (again) {
        status.append(" ", make("button", { onclick: () => {
          input.focus();
          again();
        } }, W.retry));
      }
      grow(() => {}, true);
    },
    clear() {
      log.replaceChildren();
      first = null;
    },
  };
  return view;
};
