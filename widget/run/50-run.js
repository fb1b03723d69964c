// A run in the chat's panel: what was said and answered, the step that waits, and how it ends.

const makeRun = (o, store, view, maker, renderer) => {
  make = maker;
  render = renderer;
  const { root } = view;
  const part = (name) => root.querySelector(`[part~=${name}]`);
  const outer = root.querySelector(".r");
  const footer = root.querySelector(".f");
  const spoken = root.querySelector("[aria-live=polite]");
  const [log, panel, launcher, header] = ["log", "panel", "launcher", "header"].map(part);
  const W = { ...view.W, ...sayingsOf(outer.lang) };
  const box = make("div");
  const steps = new Map();
  const pending = [];
  let shown = null;
  let form = null;
  let typing = null;
  let hasBegun = false;
  let isOver = false;
  let wasOver = null;

  let noted;

  // Whether somebody waits here for what comes next: then the focus goes with it, and else nowhere.
  const isAttended = () => !panel.hidden && (log.contains(root.activeElement) || footer.contains(root.activeElement));
  // Said once, however often it is found to be so.
  const note = (text) => {
    if (text !== noted) view.notice((noted = text));
  };

  const announce = (text) => {
    const line = make("div", null, text);
    spoken.append(line);
    setTimeout(() => line.remove(), 1000);
    if (panel.hidden && launcher) launcher.classList.add("unread");
  };
  const plain = (text) => make("div", { class: "t2", dir: "auto" }, text);
  // Above the step that waits; a reader who looks elsewhere is not moved.
  const put = (role, parts, at) => {
    const { scrollTop, scrollHeight, clientHeight } = log;
    const { top } = box.getBoundingClientRect();
    const it = view.say(role, "", at);
    it.body.replaceChildren(...parts);
    (typing || box).before(it.node);
    log.scrollTop = scrollTop;
    if (form) log.scrollTop += box.getBoundingClientRect().top - top;
    else if (role === "user" || scrollHeight - scrollTop - clientHeight < 120) log.scrollTop = log.scrollHeight;
    return it;
  };
  const toTop = () => {
    log.scrollTop += box.getBoundingClientRect().top - log.getBoundingClientRect().top - 16;
  };
  const type = (isTyping) => {
    typing?.remove();
    typing = null;
    if (isTyping) typing = put("assistant", [make("div", { class: "y" }, make("i"), make("i"), make("i"), make("span", { class: "v" }, W.typing))]).node;
  };

  const fieldsOf = (step) => (step.field ? [step.field] : (step.items || []).filter(({ kind }) => kind === "field"));
  const putAnswer = (step, value, at) => {
    const fields = fieldsOf(step);
    if (!fields.length) return;
    if (step.field) {
      put("assistant", [plain(step.field.prompt)], at);
      put("user", [plain(sayAnswer(step.field, value, W))], at);
    } else {
      const words = [step.title, ...step.items.map(({ text }) => text)].filter(Boolean);
      if (words.length) put("assistant", words.map(plain), at);
      put("user", fields.map((field) => make("div", { class: "t2", dir: "auto" }, make("span", { class: "k2" }, field.prompt), sayAnswer(field, value?.[field.id], W))), at);
    }
  };
  const onEvent = ({ at, kind, data }, isNew) => {
    if (kind === "step.opened") steps.set(data.step, data);
    else if (kind === "step.answered") {
      const step = steps.get(data.step);
      if (step && step.kind !== "agent") putAnswer(step, data.value, at);
    } else if (kind === "message.posted" || kind === "agent.said") {
      type(false);
      const it = put("assistant", [plain(data.text)], at);
      if (kind === "agent.said") render(it.body, data.text, W);
      if (isNew) announce(it.body.textContent);
      if (isNew) view.emit("message", { role: "assistant", text: data.text });
    } else if (kind === "participant.said") {
      const mine = pending.findIndex(({ text }) => text === data.text);
      if (mine < 0) put("user", [plain(data.text)], at);
      else pending.splice(mine, 1)[0].it.status.textContent = "";
    }
  };

  const clear = () => {
    // What has the focus goes; whoever was there is not sent back to the page.
    if (isAttended()) log.focus();
    form = null;
    box.replaceChildren();
    footer.remove();
  };
  const finish = (text, canBegin) => {
    shown = null;
    isOver = true;
    type(false);
    clear();
    noted = text;
    view.notice(text, canBegin && W.again, () => {
      link.stop();
      link.forget();
      store.clear();
      steps.clear();
      view.clear();
      begin();
    });
  };
  const say = (step, text, it) => {
    const item = { text, it };
    it.status.textContent = "";
    pending.push(item);
    link.perform({ type: SAY, step, text }).catch((error) => {
      if (pending.includes(item)) pending.splice(pending.indexOf(item), 1);
      const problem = (error.errors || []).map(({ message }) => message).join(" ") || W.unsent;
      it.status.textContent = problem;
      announce(problem);
      if (shown === step) it.status.append(" ", make("button", { onclick: () => say(step, text, it) }, W.retry));
    });
  };
  const showStep = (step) => {
    note();
    if (shown === step.step) return showDialogue(step);
    shown = step.step;
    const takesFocus = isAttended();
    clear();
    if (step.kind === "agent") {
      footer.querySelector(".b3")?.remove();
      if (step.may_end) footer.prepend(make("button", { class: "b3", part: "done", onclick: () => leaveDialogue(step.step) }, W.done));
      panel.append(footer);
      showDialogue(step);
      if (takesFocus) part("input").focus();
    } else {
      form = makeForm(step, W, async (value) => {
        await link.perform({ type: "answer", step: step.step, value });
        view.emit("answer", { step: step.step, value });
      });
      box.append(form.node);
      toTop();
      if (takesFocus) form.focus();
    }
    const question = step.title || step.field?.prompt;
    if (question) announce(question);
    view.emit("step", { step: step.step, kind: step.kind });
  };
  const showDialogue = (step) => {
    if (step.kind === "agent" && Boolean(step.busy) !== Boolean(typing)) type(step.busy);
  };
  const leaveDialogue = (step) => link.perform({ type: "done", step }).then(() => view.emit("answer", { step }), (error) => view.notice(error.message || W.unavailable));

  const onView = (run) => {
    view.setAgent(run.title);
    const over = isFinal(run);
    if (over && isOver) return;
    if (over) {
      finish({ completed: W.finished, failed: W.failed, cancelled: W.cancelled }[run.status]);
      if (wasOver === false) view.emit("complete", { runId: run.run_id, status: run.status });
    } else if (run.steps[0]) showStep(run.steps[0]);
    else {
      if (shown) clear();
      shown = null;
      type(false);
      note(W.wait);
    }
    wasOver = over;
  };

  const countDown = async (seconds) => {
    noted = W.slow;
    for (let left = Math.ceil(seconds); left > 0 && noted === W.slow; left -= 1) {
      view.notice(W.slow, null, null, left);
      await new Promise((done) => setTimeout(done, 1000));
    }
    if (noted === W.slow) note(shown ? undefined : W.wait);
  };
  const link = makeLink(o, store, {
    view: onView,
    event: onEvent,
    slow: countDown,
    isHere: () => root.host.isConnected,
    refused(code, error) {
      console.error(`Chatelaine: the run is refused: ${error?.message || code}`);
      view.emit("error", { code, message: error?.message || code });
      if (code === "start") finish(W.unavailable);
      else finish(/expired/i.test(code) ? W.expired : W.gone, !o.runId && code !== "revoked");
    },
    trouble(error, wait, tries) {
      if (wait > 60) note(W.unavailable);
      else if (wait && wasOver === null) countDown(wait);
      else if (tries > 1) note(W.waiting);
    },
  });
  const begin = () => {
    isOver = false;
    wasOver = null;
    if (o.welcomeMessage) view.say("assistant", o.welcomeMessage);
    log.append(box);
    note(W.wait);
    link.start();
  };

  root.adoptedStyleSheets = [...root.adoptedStyleSheets, styleSheet()];
  // The end of a conversation is nothing that a run has a button for.
  header.children[1].hidden = true;
  if (isAttended()) log.focus();
  footer.remove();
  root.host.addEventListener("chatelaine:open", () => (form || part("input") || log).focus());

  return {
    limit: 4000,
    begin() {
      if (!hasBegun) begin();
      hasBegun = true;
    },
    send(text) {
      if (!shown || form) return false;
      say(shown, text, put("user", [plain(text)]));
      return true;
    },
    stop() {},
    end() {
      link.stop();
      if (!o.runId) store.clear();
      finish(W.ended, !o.runId);
      view.emit("end");
    },
    wake: () => link.wake(),
    suspend: () => link.stop(),
  };
};

export default makeRun;
