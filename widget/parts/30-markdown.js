// A small part of Markdown as DOM nodes, in linear time. What is not understood is text.

// The address is written out: `https:path` alone would be a path of the page's own site.
const link = (address, text) => {
  const url = tryTo(() => new URL(address));
  return url && /^(https?|mailto):$/.test(url.protocol) && make("a", { href: url, target: "_blank", rel: "noopener nofollow ugc" }, text);
};

// Code, runs of stars, links, addresses and line breaks; every repetition is bounded or ends at its own delimiter.
const INLINE = /(`[^`\n]+`|\*+|\[[^[\]\n]{1,500}\]\([^()\s]{1,2000}\)|https?:\/\/[^\s<>"'`*]{1,2000}|\n)/;

const inline = (parent, text) => {
  const open = [];
  let top = parent;
  // A star that nothing closed was a star.
  const undo = () => {
    const node = open.pop();
    top = node.parentNode;
    node.before(node.localName === "em" ? "*" : "**");
    while (node.firstChild) node.before(node.firstChild);
    node.remove();
  };
  const mark = (token, before, after) => {
    const name = ["em", "strong"][token.length - 1];
    const isOpen = open.some((node) => node.localName === name);
    if (name && isOpen && /\S$/.test(before)) {
      while (top.localName !== name) undo();
      top = open.pop().parentNode;
    } else if (name && !isOpen && /^\S/.test(after)) {
      const node = make(name);
      top.append(node);
      open.push((top = node));
    } else top.append(token);
  };
  const tokens = text.split(INLINE);
  tokens.forEach((token, at) => {
    const first = at % 2 && token[0];
    if (first === "*") mark(token, (tokens[at - 1] || tokens[at - 2] || "").slice(-1), tokens[at + 1] || tokens[at + 2] || "");
    else if (first === "\n") top.append(make("br"));
    else if (first === "`") top.append(make("code", null, token.slice(1, -1)));
    else if (first === "[") {
      const cut = token.indexOf("](");
      top.append(link(token.slice(cut + 2, -1), token.slice(1, cut)) || token);
    } else if (first === "h") {
      let end = token.length;
      while (".,;:!?)]".includes(token[end - 1])) end -= 1;
      const address = token.slice(0, end);
      top.append(link(address, address) || address, token.slice(end));
    } else if (token) top.append(token);
  });
  while (open.length) undo();
  return parent;
};

const ITEM = /^( {0,12})([-*+]|\d{1,9}[.)]) +(.*)$/;

// The blocks of a text, each with its source, so that a growing text rebuilds its last block alone.
const blocks = (text) => {
  const out = [];
  let last = {};
  let isCode = false;
  const put = (kind, ...lines) => out.push((last = { kind, lines }));
  for (const line of text.split(/\r\n?|\n/)) {
    const isList = last.kind === "list";
    if (/^ {0,3}```/.test(line)) {
      isCode = !isCode;
      if (isCode) put("code");
    } else if (isCode) last.lines.push(line);
    else if (!line.trim()) last.isLoose = true;
    else if (ITEM.test(line)) {
      if (isList) last.lines.push(line);
      else put("list", line);
    } else if (/^#{1,6} /.test(line)) put("title", line.replace(/^#+ +/, ""));
    else if ((isList && line[0] === " ") || ((isList || last.kind === "text") && !last.isLoose)) last.lines.push(line);
    else put("text", line);
  }
  return out;
};

const list = (lines) => {
  const root = make("div");
  const levels = [];
  let item;
  for (const line of lines) {
    const found = ITEM.exec(line);
    if (!found) {
      inline(item, "\n" + line.trim());
      continue;
    }
    const indent = found[1].length;
    const tag = found[2].length > 1 ? "ol" : "ul";
    while (levels.length > 1 && indent < levels[0].indent) levels.shift();
    const isDeeper = levels[0] && indent > levels[0].indent + 1;
    if (!levels[0] || isDeeper || levels[0].node.localName !== tag) {
      const node = make(tag, { start: parseInt(found[2], 10) || 1 });
      (isDeeper ? item : levels[0] ? levels.shift().node.parentNode : root).append("\n", node);
      levels.unshift({ node, indent });
    }
    item = inline(make("li"), found[3]);
    levels[0].node.append(item, "\n");
  }
  return root;
};

const codeBlock = (source, W) => {
  const button = iconButton("copy", W.copy, () => navigator.clipboard.writeText(source).then(() => relabel(button, "done", W.copy)));
  return make("div", { class: "z" }, make("pre", { tabindex: 0, dir: "ltr" }, make("code", null, source)), navigator.clipboard ? button : "");
};

// Shows `text` in `body`. Blocks that did not change keep their nodes, and with them focus and selection.
const render = (body, text, W) => {
  const old = body.shown || [];
  if (!old.length) body.replaceChildren();
  body.shown = blocks(text).map(({ kind, lines }, at) => {
    const source = lines.join("\n");
    const before = old[at];
    if (before?.kind === kind && before.source === source) return before;
    let node;
    if (kind === "code") node = codeBlock(source, W);
    else if (kind === "list") node = list(lines);
    else {
      node = make("p");
      inline(kind === "title" ? node.appendChild(make("strong")) : node, source);
    }
    // Last, because a browser works a direction out anew with each child.
    for (const part of kind === "list" ? node.querySelectorAll("ul,ol") : [node]) part.dir = "auto";
    node.append("\n");
    if (before) before.node.replaceWith(node);
    else body.append(node);
    return { kind, source, node };
  });
  old.slice(body.shown.length).forEach(({ node }) => node.remove());
};
