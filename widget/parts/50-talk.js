// One conversation: what waits to be sent, what is being answered, and how each of them recovers.
// A message keeps its key for life, so sending it again continues its reply and never doubles it.

// Heartbeats come every 15 s: after this silence the connection is taken for dead.
const SILENCE_MS = 40000;
const DONE = "done";
const FAILED = "failed";

const makeTalk = (o, store, ui) => {
  const { W } = ui;
  const queue = [];
  const failed = new Set();
  let isRunning = false;
  let current = null;
  let begun = null;
  let isOver = false;
  let isDead = false;
  let heard = 0;
  let wakeUp = () => {};

  const link = (o.apiUrl ? dropInLink : sessionLink)(o, store, () => ui.note(W.again));

  const remember = () => store.save({ waiting: [...queue, ...failed].map(({ key, text }) => ({ key, text })) });
  const pause = (ms) => new Promise((done) => {
    wakeUp = done;
    setTimeout(done, ms);
  });
  const interrupt = () => {
    current?.abort();
    wakeUp();
  };
  const countDown = async (seconds) => {
    const end = Date.now() + seconds * 1000;
    ui.setBlocked(true);
    for (let left; (left = end - Date.now()) > 0 && !isOver; ) {
      ui.notice(W.slow, null, null, Math.ceil(left / 1000));
      await pause(Math.min(1000, left));
    }
    ui.setBlocked(isDead);
    ui.notice();
  };

  // What cannot be helped by trying again: said to the visitor in words, and to the site's owner with the reason.
  const giveUp = (error, item, text) => {
    const { code, message } = error;
    complain(message || code);
    ui.emit("error", { code, message });
    if (item) item.problem = text;
    if (!item || isDead) ui.notice(text);
    return FAILED;
  };

  // Does `work` until it has an outcome: waits while offline, backs off with jitter, gets another token once.
  const insist = async (work, item) => {
    let tries = 0;
    let isSecond = false;
    while (!isDead) {
      const before = item?.last;
      let error = failure(0, "network");
      try {
        const outcome = await work();
        if (outcome) return outcome;
      } catch (caught) {
        error = caught;
      }
      if (isOver || item?.isStopped) return DONE;
      const { status = 0, code } = error;
      // The session is over or gone, not the key that opened it: another one takes its place, once.
      const isStale = status === 401 || status === 404 || code === "CONVERSATION_MISMATCH";
      if (isStale && !error.isOpening && link.forget && !isSecond) {
        isSecond = true;
        link.forget();
        if (item) item.last = "";
        continue;
      }
      if (status === 429) {
        await countDown(error.wait);
        continue;
      }
      if (isStale || status === 403) {
        isDead = true;
        ui.setBlocked(true);
        return giveUp(error, item, W.foreign);
      }
      const isFinal = error.isFinal || (status >= 400 && status <= 500 && ![408, 409].includes(status));
      if (status === 402 || isFinal || code === "NOT_CONFIGURED") return giveUp(error, item, W.unavailable);
      tries = item?.last !== before || !navigator.onLine ? 1 : tries + 1;
      if (tries > 5) return giveUp(error, item, item ? W.unsent : W.unavailable);
      if (item) ui.status(item, W.waiting);
      else ui.notice(W.waiting);
      await pause(500 * 2 ** tries * (0.5 + Math.random() / 2));
    }
    return FAILED;
  };

  const begin = () => {
    begun ||= insist(async () => {
      const said = await link.begin();
      // The history begins with the greeting.
      const greeting = said[0] && said[0].role !== "user" ? said.shift().content : store.state.greeting;
      recover(said);
      ui.notice();
      ui.setAgent(store.state.name, greeting);
      said.forEach((one) => ui.say(one.role, one.content, one.timestamp));
      queue.forEach(ui.show);
      return DONE;
    }).then((outcome) => {
      if (outcome === FAILED) begun = null;
      run();
    });
    return begun;
  };

  // After a reload: what was sent and not answered is asked for again, unless the history has its answer.
  const recover = (said) => {
    const last = said.map(({ role }) => role).lastIndexOf("user");
    const again = (store.state.waiting || []).filter(({ key, text }) => {
      const isThere = said[last] && said[last].content === text;
      const isAnswered = isThere && last < said.length - 1;
      if (isThere && !isAnswered) said.length = last;
      return !isAnswered && !queue.some((item) => item.key === key);
    });
    queue.unshift(...again.map(({ key, text }) => ({ key, text, answer: "" })));
  };

  const onEvent = async (item, event, id) => {
    const { type, error } = event;
    item.last = id || item.last;
    if (type === "stream_start" || type === "start") {
      item.answer = "";
      ui.setAgent(event.agent_name);
      ui.status(item, "");
    } else if (type === "chunk" || type === "token") {
      item.answer += event.delta || event.token || "";
      ui.stream(item);
    } else if (type === "tool_call" || type === "tool_result") {
      ui.tool(item, type === "tool_call" ? event.name : "");
    } else if (type === "handoff") {
      ui.note("→ " + event.to);
    } else if (type === "stream_end" || type === "done") {
      item.answer = event.message || item.answer;
      isOver = Boolean(event.end_session);
      return DONE;
    } else if (type === "gap") {
      // The server no longer keeps what was missed: the history has the answer, or the reply is read from its beginning.
      const said = await link.history();
      const [mine, its] = said.slice(-2);
      item.last = "";
      if (its?.role === "assistant" && mine.content === item.text) {
        item.answer = its.content;
        return DONE;
      }
      throw failure(0, "gap");
    } else if (type === "error") {
      isOver = error === "ended";
      if (isOver || error === "cancelled") return DONE;
      const status = { expired: 401, revoked: 403, Unauthorized: 403, shutdown: 503 }[error];
      if (!status) item.last = "";
      throw failure(status, error, { isFinal: !status, message: event.message || error });
    }
  };

  const deliver = (item) => insist(async () => {
    const attempt = (current = new AbortController());
    heard = Date.now();
    const watch = setInterval(() => Date.now() - heard > SILENCE_MS && attempt.abort(), 5000);
    try {
      return await readEvents(await accepted(link.post(item, attempt.signal)), () => (heard = Date.now()), (event, id) => onEvent(item, event, id));
    } finally {
      clearInterval(watch);
      current = null;
    }
  }, item);

  const run = async () => {
    if (isRunning) return;
    isRunning = true;
    while (queue.length && !isDead && !isOver) {
      const item = queue[0];
      ui.setBusy(true);
      ui.waitFor(item);
      const outcome = await deliver(item);
      queue.shift();
      if (outcome === FAILED) {
        failed.add(item);
        ui.fail(item, isDead ? W.unsent : item.problem, isDead ? null : () => {
          failed.delete(item);
          item.last = item.answer = "";
          queue.push(item);
          run();
        });
      } else {
        ui.finish(item);
        link.said("user", item.text);
        if (item.answer) link.said("assistant", item.answer);
      }
      remember();
      ui.setBusy(false);
    }
    isRunning = false;
    if (isOver) conclude();
  };

  const conclude = () => {
    link.end();
    queue.length = 0;
    failed.clear();
    ui.setBlocked(true);
    ui.notice(W.ended, W.again, () => {
      isOver = false;
      begun = null;
      ui.clear();
      begin();
    });
    ui.emit("end");
  };

  return {
    begin,
    limit: link.limit,
    send(text) {
      if (isDead || isOver) return false;
      const item = { key: newId(), text, answer: "" };
      queue.push(item);
      remember();
      ui.notice();
      ui.show(item);
      begin().then(run);
      return true;
    },
    stop() {
      if (!isRunning) return;
      queue[0].isStopped = true;
      link.stop();
      interrupt();
    },
    end() {
      if (isOver || isDead) return;
      isOver = true;
      interrupt();
      if (!isRunning) conclude();
    },
    // Sleep, another network, a page out of the cache: what should have been heard by now is asked for again.
    wake() {
      if (Date.now() - heard > SILENCE_MS / 2) interrupt();
      else wakeUp();
      link.renew();
    },
    suspend() {
      isDead = true;
      interrupt();
    },
  };
};
