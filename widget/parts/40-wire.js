// The two ways to a server behind one interface: begin, post, history, renew, stop, end, forget.

// Storage may be missing or forbidden (sandboxed frames, private windows): then this page's memory is all there is.
const openStore = (kind, name) => {
  const area = tryTo(() => (kind === "local" ? localStorage : kind !== "none" && sessionStorage));
  const store = {
    state: tryTo(() => JSON.parse(area.getItem(name))) || {},
    save(change) {
      Object.assign(store.state, change);
      tryTo(() => area.setItem(name, JSON.stringify(store.state)));
    },
    // The conversation goes; whether the panel is open stays.
    clear() {
      const { isOpen } = store.state;
      store.state = {};
      store.save({ isOpen });
    },
  };
  return store;
};

const newId = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

const failure = (status, code, more) => Object.assign(new Error(code), { status, code }, more);

// The answer, or the refusal in it: our envelope, or the drop-in surface's bare text.
const accepted = async (answer, more) => {
  const response = await answer;
  if (response.ok) return response;
  const { error = "" } = await response.json().catch(() => ({}));
  throw failure(response.status, error.code || "refused", { wait: Number(response.headers.get("retry-after")) || 5, message: error.message || error, ...more });
};

const readJson = async (answer, more) => (await accepted(answer, more)).json();

const request = (url, method, headers, body, signal) => {
  if (body) headers["Content-Type"] = "application/json";
  return fetch(url, { method, headers, body: body && JSON.stringify(body), signal, credentials: "omit", cache: "no-store" });
};

const keyOf = (item) => ({ "Idempotency-Key": item.key, ...(item.last ? { "Last-Event-ID": item.last } : {}) });

// Sessions: opened with a widget key, or by the site's own server (`getToken`); used with a token.
const sessionLink = (o, store, onRenewed) => {
  let timer;
  let opening;

  const call = (method, path, body, more, signal, token = store.state.token) => {
    const headers = { Authorization: "Bearer " + token, Accept: "application/x-ndjson, application/json", ...more };
    if (o.embeddingOrigin) headers["X-Embedding-Origin"] = o.embeddingOrigin;
    return request(o.server + "/v1/chat/sessions" + path, method, headers, body, signal);
  };
  const own = (method, path, ...rest) => call(method, `/${store.state.id}/${path}`, ...rest);

  // Renewal at 80 % of the token's life; a page that slept comes here again when it wakes.
  const renew = async () => {
    clearTimeout(timer);
    const { id, until, life } = store.state;
    const left = until - life / 5 - Date.now();
    if (!life || until < Date.now()) return;
    if (left > 0) return void (timer = setTimeout(renew, left));
    try {
      const fresh = await readJson(own("POST", "renew"));
      if (id === store.state.id) keepToken(fresh.session_token, fresh.expires_in);
    } catch (error) {
      if (!error.status || error.status > 428) timer = setTimeout(renew, 9000);
    }
  };
  const keepToken = (token, seconds = 0) => {
    store.save({ token, life: seconds * 1000, until: seconds ? Date.now() + seconds * 1000 : 8e15 });
    renew();
  };

  const adopt = async () => {
    const former = store.state.id;
    const { getToken } = o;
    const fresh = getToken
      ? (await Promise.resolve().then(getToken).catch((error) => ({ error }))) || {}
      : await readJson(call("POST", "", { agent_id: o.agentId, user_identifier: o.user, channel_id: o.channelId }, null, null, o.widgetKey), { isOpening: true });
    // The site's server may hand on our own answer as it is.
    const id = fresh.conversationId || fresh.conversation_id;
    const token = fresh.token || fresh.session_token;
    if (!id || !token) throw failure(0, "getToken", { isFinal: true, message: "getToken must give {token, conversationId}. " + (fresh.error || "") });
    store.save({ id, user: o.user, name: fresh.agent_name, greeting: fresh.greeting });
    keepToken(token, fresh.expiresIn || fresh.expires_in);
    if (former && former !== id) onRenewed();
    return !getToken;
  };
  // True when the conversation begins now.
  const open = async () => {
    if (store.state.token && store.state.until > Date.now()) return false;
    opening ||= adopt().finally(() => (opening = null));
    return opening;
  };
  const history = async () => (await readJson(own("GET", "messages?limit=50"))).messages.filter(({ role }) => role !== "system");

  return {
    limit: 10000,
    async begin() {
      if (store.state.user !== o.user) store.clear();
      if (await open()) return [];
      renew();
      return history();
    },
    async post(item, signal) {
      await open();
      return own("POST", "messages", { message: item.text }, keyOf(item), signal);
    },
    history,
    renew,
    stop: () => own("POST", "cancel").catch(() => {}),
    end() {
      clearTimeout(timer);
      if (store.state.token) own("POST", "end").catch(() => {});
      store.clear();
    },
    // The token is of no use; the next call gets another.
    forget: () => store.save({ token: "" }),
    said() {},
  };
};

// The drop-in surface: a key in a header, a session id of the visitor's own making, no history to read.
const DROP_IN_ID = "os-chatbot-session-id";

const dropInLink = (o, store) => {
  const history = async () => [...(store.state.said || [])];
  const area = tryTo(() => o.storage !== "none" && localStorage);
  return {
    limit: 4000,
    begin() {
      const id = tryTo(() => area.getItem(DROP_IN_ID)) || store.state.id || newId();
      tryTo(() => area.setItem(DROP_IN_ID, id));
      store.save({ id });
      return history();
    },
    post: (item, signal) => request(o.apiUrl, "POST", { "x-widget-api-key": o.apiKey, ...keyOf(item) }, { sessionId: store.state.id, message: item.text }, signal),
    history,
    renew() {},
    stop() {},
    end() {
      store.clear();
      tryTo(() => area.removeItem(DROP_IN_ID));
    },
    said: (role, content) => store.save({ said: [...(store.state.said || []), { role, content, timestamp: Date.now() }].slice(-50) }),
  };
};

// Reads a reply event by event. NDJSON lines and the `data` lines of server-sent events hold the same
// objects, so one reader does for both; comments and empty lines are heartbeats.
const readEvents = async (response, onBytes, onEvent) => {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let id;
  for (;;) {
    const { value, done } = await reader.read();
    onBytes();
    const lines = (rest + (done ? "\n" : decoder.decode(value, { stream: true }))).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      // U+2028 and U+2029 end no line here.
      const [, field, text] = /^(id:|data:)?\s*(.*)/s.exec(line);
      if (field === "id:") id = text.trim();
      const event = text[0] === "{" && tryTo(() => JSON.parse(text));
      const outcome = event && (await onEvent(event, event.id || id));
      if (outcome) {
        // Nothing more comes; what is read to its end is no error in the browser's tools.
        reader.read().catch(() => {});
        return outcome;
      }
    }
    if (done) return;
  }
};
