// A participant's way to the server: a WebSocket, or asking again and again where no proxy lets one through.
// What the participant does waits in a queue until the server has taken or refused it; nothing is done twice.

const refusal = (status, code, more) => Object.assign(new Error(code), { status, code }, more);

const ask = async (base, method, path, token, body) => {
  const headers = { Accept: "application/json", ...(token && { Authorization: "Bearer " + token }), ...(body && { "Content-Type": "application/json" }) };
  const signal = AbortSignal.timeout && AbortSignal.timeout(20000);
  const response = await fetch(base + path, { method, headers, body: body && JSON.stringify(body), signal, credentials: "omit", cache: "no-store" });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const error = answer.error || {};
  throw refusal(response.status, error.code || "refused", { ...error, wait: Number(response.headers.get("retry-after")) || 5 });
};

const DEAD = /^(revoked|expired|auth|INVALID_TOKEN|TOKEN_EXPIRED|INVALID_API_KEY|MISSING_CREDENTIAL|NOT_FOUND|WRONG_CREDENTIAL)$/;
const LATER = /^(RATE_LIMITED|UNAVAILABLE)$/;
const SAY = "say";
// How long a connection may take until it shows something, and an answer until it is acknowledged.
const PATIENCE_MS = 10000;
const HALF_LIFE_MS = 1800000;

// How often somebody has spoken in a dialogue.
const countOf = (step) => (step?.lines || []).filter(({ from }) => from === "user").length;

// `on`: view(view), event(event, isNew), refused(code), trouble(error, wait, tries), slow(seconds), isHere().
const makeLink = (o, store, on) => {
  const isPublic = !o.runId;
  const queue = [];
  const said = {};
  let token = isPublic ? store.state.token : o.participantToken;
  let after = 0;
  let current = null;
  let told = null;
  let socket = null;
  let isLive = false;
  let isPolling = false;
  let isStopped = true;
  // A token that nobody has taken yet: when it is refused, no other is asked for.
  let isFresh = false;
  let isAway = false;
  let hasFailed = false;
  let renewAfter = 0;
  let unopened = 0;
  let tries = 0;
  let idle = 0;
  let ids = 0;
  let heard = 0;
  let timer;
  let watch;
  let renewing = null;
  let problem;

  const later = (work, ms) => {
    clearTimeout(timer);
    if (!isStopped) timer = setTimeout(work, ms);
  };
  const call = (method, path, body) => ask(o.server, method, "/api/participant/" + path, token, body);
  const keep = (given, run) => {
    token = given.participant_token;
    if (run) store.save({ run });
    store.save({ token, until: Date.now() + (given.expires_in || 3600) * 1000 });
  };

  // A survey that anybody may start; where it asks for work first, that is done.
  const begin = async () => {
    let body = {};
    for (let attempt = 0; ; attempt += 1) {
      try {
        const started = await ask(o.server, "POST", `/api/public/surveys/${encodeURIComponent(o.deploymentId)}/start`, null, body);
        return keep(started, started.run_id);
      } catch (error) {
        const { challenge } = error;
        if (!challenge || attempt > 2) throw Object.assign(error, { isStart: true });
        body = { challenge: { nonce: challenge.nonce, solution: await solve(challenge.nonce, challenge.difficulty) } };
      }
    }
  };
  const acquire = async () => {
    isFresh = true;
    if (isPublic) return token ? keep(await call("POST", "renew")) : begin();
    if (!o.getToken) throw refusal(401, "expired");
    const given = (await o.getToken()) || {};
    token = given.participant_token || given.participantToken || given.token || given;
    if (typeof token !== "string") throw refusal(401, "getToken");
  };
  const renew = () => (renewing ||= acquire().then(() => {
    if (isLive) socket.send(JSON.stringify({ type: "auth.renew", id: (ids += 1), token }));
  }).finally(() => (renewing = null)));

  // What was sent and not acknowledged: the next view knows.
  const doubt = () => {
    if (queue[0]?.isSent) queue[0].isLost = true;
  };
  const leave = () => {
    doubt();
    const before = socket;
    socket = null;
    isLive = false;
    before?.close();
  };
  const stop = () => {
    isStopped = true;
    clearTimeout(timer);
    clearInterval(watch);
    leave();
  };
  // The token is of no use: another one, once, or the end.
  const refuse = (code) => {
    if (isStopped) return;
    leave();
    if (!isPublic && o.getToken && !isFresh && code !== "revoked") {
      token = "";
      return later(connect, 0);
    }
    stop();
    on.refused(code);
  };
  const again = (error, wait) => {
    tries += 1;
    on.trouble(error, wait, tries);
    later(connect, wait ? wait * 1000 : Math.min(30000, 300 * 2 ** tries) * (0.5 + Math.random() / 2));
  };
  const fail = (error) => {
    if (isStopped) return;
    const { status, code } = error;
    if (error.isStart && status >= 400 && status < 500 && status !== 429) {
      stop();
      return on.refused("start", error);
    }
    if (code === "getToken" || DEAD.test(code) || status === 401) return refuse(code);
    again(error, status === 429 && error.wait);
  };

  // Was it taken, though its acknowledgement was lost?
  const isTaken = ({ type, step, count }, view) => {
    const open = view.steps.find((one) => one.step === step);
    return !open || (type === SAY && countOf(open) > count);
  };
  const settle = (error) => {
    const action = queue.shift();
    if (!action) return;
    if (action.type === SAY && !error) said[action.step] = action.count + 1;
    if (error) action.reject(error);
    else action.resolve();
    pump();
  };
  const hold = (action, ms) => {
    action.isHeld = true;
    setTimeout(() => {
      action.isHeld = action.isSent = false;
      pump();
    }, ms);
  };
  const settleError = (error) => {
    const [action] = queue;
    if (!action) return;
    if (LATER.test(error.code)) {
      const wait = error.retry_after || error.wait || 3;
      on.slow(wait);
      return hold(action, wait * 1000);
    }
    const isOpen = current && current.steps.some(({ step }) => step === action.step);
    // The agent has more to answer than it takes; anything else that was answered before is settled.
    if (error.code === "CONFLICT" && action.type === SAY && isOpen) return hold(action, 2000);
    settle(error.code === "CONFLICT" && action.type !== SAY ? null : error);
  };
  const pump = () => {
    const [action] = queue;
    if (!action || action.isSent || action.isHeld || isStopped) return;
    const { type, step, value, text } = action;
    if (type === SAY) action.count = Math.max(said[step] || 0, countOf(current?.steps.find((one) => one.step === step)));
    if (isLive) {
      Object.assign(action, { isSent: true, id: (ids += 1), at: Date.now() });
      socket.send(JSON.stringify({ type, id: action.id, step, value, text }));
    } else if (isPolling) void post(action);
  };

  const show = (view) => {
    tries = 0;
    isFresh = false;
    // An answer that was overtaken.
    if (current && view.last_seq < current.last_seq) return;
    if (o.runId && view.run_id !== o.runId) return refuse("another run");
    told ??= view.last_seq;
    current = view;
    const [action] = queue;
    if (action?.isLost) {
      action.isLost = action.isSent = false;
      if (isTaken(action, view)) settle();
    }
    on.view(view);
    pump();
  };
  const tell = (event) => {
    if (event.seq <= after) return;
    after = event.seq;
    on.event(event, told !== null && event.seq > told);
  };

  const take = (message) => {
    const { type, id } = message;
    if (type === "view") {
      unopened = 0;
      isLive = true;
      show(message);
    } else if (type === "event") tell(message);
    else if (type === "auth.expiring") renew().catch(() => {});
    else if (type === "auth.renewed") isFresh = false;
    else if (type === "ok" && queue[0]?.id === id) settle();
    else if (type === "error" && id != null) {
      if (queue[0]?.id === id) settleError(message);
    } else if (type === "error") problem = message;
  };
  const open = () => {
    problem = null;
    heard = Date.now();
    let now;
    try {
      now = socket = new WebSocket(o.server.replace(/^http/, "ws") + "/api/participant/ws", "chatelaine.v1");
    } catch {
      return poll();
    }
    now.onopen = () => now.send(JSON.stringify({ type: "auth", token, after }));
    now.onmessage = ({ data }) => {
      if (now !== socket) return;
      heard = Date.now();
      take(JSON.parse(data));
    };
    // What a policy blocks has an error and no close.
    now.onerror = () => lose(now);
    now.onclose = ({ code }) => lose(now, code);
    later(() => !isLive && lose(now), PATIENCE_MS);
  };
  const lose = (now, code) => {
    if (now !== socket) return;
    const wasLive = isLive;
    leave();
    const reason = problem?.code || { 4401: "expired", 4403: "revoked" }[code];
    if (code === 1000 && current && isFinal(current)) return stop();
    if (DEAD.test(reason)) return refuse(reason);
    if (!wasLive && !problem) unopened += 1;
    if (unopened > 1) poll();
    else again(problem || refusal(0, "network"), problem?.retry_after);
  };

  // Less and less often while nothing happens, for a role has a budget for each minute.
  const poll = async (given) => {
    isPolling = true;
    if (isStopped || !on.isHere()) return later(poll, 5000);
    try {
      await refresh();
      const view = given || (await call("GET", "run"));
      told ??= view.last_seq;
      idle = after < view.last_seq ? 0 : idle + 1;
      while (after < view.last_seq) {
        const { events, next_after } = await call("GET", "events?after=" + after);
        if (isStopped) return;
        events.forEach(tell);
        if (next_after <= after && !events.length) break;
        after = Math.max(after, next_after);
      }
      if (isStopped) return;
      show(view);
      if (isFinal(view)) return stop();
      if (hasFailed) {
        // The server was away and is back: perhaps its sockets are too.
        hasFailed = isPolling = false;
        unopened = 0;
        return later(connect, 500);
      }
      later(poll, document.hidden ? 15000 : view.steps.some(({ busy }) => !busy) ? 5000 : Math.min(5000, 1500 + 250 * idle));
    } catch (error) {
      hasFailed = true;
      doubt();
      fail(error);
    }
  };
  const post = async (action) => {
    const { type, step, value, text } = action;
    action.isSent = true;
    const path = `steps/${encodeURIComponent(step)}` + { answer: "", say: "/messages", done: "/done" }[type];
    try {
      const view = await call("POST", path, type === "answer" ? { value } : type === SAY ? { text } : undefined);
      settle();
      show(view);
      later(() => poll(view), 0);
    } catch (error) {
      if (!error.status || error.status === 401) {
        doubt();
        fail(error);
      } else settleError(error);
    }
  };
  // In the second half of its life; a run that is too old for it is not asked about again and again.
  const refresh = async () => {
    const now = Date.now();
    if (!isPublic || !token || now < renewAfter || store.state.until - now > HALF_LIFE_MS) return;
    renewAfter = now + 300000;
    await renew().catch(() => {});
  };
  const connect = async () => {
    clearTimeout(timer);
    if (isStopped || socket) return;
    try {
      if (!token) await renew();
      await refresh();
    } catch (error) {
      return fail(error);
    }
    if (isStopped || socket) return;
    if (unopened > 1) poll();
    else open();
  };

  return {
    start() {
      if (!isStopped) return;
      isStopped = false;
      connect();
      watch = setInterval(() => {
        const [action] = queue;
        if (!on.isHere()) {
          isAway = true;
          leave();
        } else if (isAway) {
          isAway = false;
          if (!isPolling) connect();
        } else if (isLive && action?.isSent && !action.isHeld && Date.now() - action.at > PATIENCE_MS) lose(socket);
      }, 5000);
    },
    perform: (action) => new Promise((resolve, reject) => {
      queue.push({ ...action, resolve, reject });
      pump();
    }),
    // Sleep, another network: what is not surely alive is made anew.
    wake() {
      if (isStopped) return;
      if (socket && Date.now() - heard > 45000) leave();
      if (!socket) later(isPolling ? poll : connect, 0);
    },
    forget() {
      token = "";
      after = 0;
      told = current = null;
      queue.length = 0;
    },
    stop,
  };
};

const isFinal = ({ status }) => /^(completed|failed|cancelled)$/.test(status);
