// One constructed style sheet: a page's `style-src` does not reach it, and the page's rules do not reach in.
const CSS = `
.r{all:initial;--a:#4338ca;--on:#fff;--bg:var(--chatelaine-background,#fff);--fg:var(--chatelaine-text,#171a21);--s:var(--chatelaine-bubble,#f1f3f6);--mu:#5a6272;--b:#d6dae1;color-scheme:light;display:block;color:var(--fg);font:15px/1.5 var(--chatelaine-font,system-ui,sans-serif)}
.dark{--bg:var(--chatelaine-background,#16181d);--fg:var(--chatelaine-text,#eceef2);--s:var(--chatelaine-bubble,#262a32);--mu:#a3abb9;--b:#363c47;color-scheme:dark}
*{box-sizing:border-box}
[hidden]{display:none!important}
button,textarea{font:inherit;color:inherit;margin:0;padding:0;border:1px solid transparent;background:none}
button{cursor:pointer}
[aria-disabled=true]{cursor:default;opacity:.55}
:focus-visible{outline:2px solid;outline-offset:2px}
svg{width:20px;fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
.v{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.popup{position:fixed;z-index:var(--chatelaine-z,2147483000);bottom:calc(var(--chatelaine-offset-y,20px) + env(safe-area-inset-bottom));right:var(--chatelaine-offset-x,20px)}
.popup.left{right:auto;left:var(--chatelaine-offset-x,20px)}
.o{width:56px;height:56px;border-radius:50%;background:var(--a);color:var(--on);display:grid;place-items:center;margin-left:auto;box-shadow:0 4px 20px #0004;position:relative}
.left .o{margin:0}
.o svg{width:26px}
.o:focus-visible{outline:3px solid #fff;outline-offset:0;box-shadow:0 0 0 6px #171a21}
.unread::after{content:"";position:absolute;top:0;right:0;border:7px solid #d92d20;border-radius:50%}
.p{display:flex;flex-direction:column;background:var(--bg);overflow:hidden;border:1px solid var(--b);border-radius:var(--chatelaine-radius,16px)}
.popup .p{width:var(--chatelaine-width,384px);height:var(--chatelaine-height,620px);max-width:calc(100vw - 40px);max-height:calc(100dvh - 116px);margin-bottom:16px;box-shadow:0 12px 48px #0003}
.inline,.inline .p{height:100%;min-height:320px}
.page .p,.full .p{position:fixed;inset:0;border:0;border-radius:0}
.full .p{top:var(--o,0);width:100%;max-width:none;height:var(--h,100dvh);max-height:none;margin:0;padding-bottom:env(safe-area-inset-bottom)}
.full.is-open .o{display:none}
.h{display:flex;align-items:center;background:var(--a);color:var(--on);padding:10px;padding-inline-start:16px}
.t{flex:1;min-width:0;font-weight:600;font-size:16px;overflow-wrap:anywhere}
.k{min-width:36px;min-height:36px;display:grid;place-items:center;border-radius:10px}
.l{flex:1;min-height:0;overflow-y:auto;overscroll-behavior:contain;padding:16px;display:flex;flex-direction:column;gap:12px}
.page .l,.page .n,.page .f{padding-inline:max(16px,calc(50% - 380px))}
.h .k,.l{outline-offset:-3px}
.m{display:flex;flex-direction:column;align-items:flex-start;max-width:88%}
.u{align-self:flex-end;align-items:flex-end}
.c{border:1px solid transparent;border-radius:16px;border-end-start-radius:5px;padding:8px 13px;background:var(--s);overflow-wrap:anywhere;max-width:100%}
.u .c{border-radius:16px;border-end-end-radius:5px;background:var(--a);color:var(--on);white-space:pre-wrap}
.i{font-size:12px;color:var(--mu);padding:3px 4px 0}
.i button,.n button{font-weight:600;text-decoration:underline;min-height:24px;padding:0 4px;color:var(--fg)}
.u .i{text-align:end}
.c p,.c ul,.c ol,.c pre{margin:0 0 8px}
.c>:last-child,.c>:last-child>*,li>:last-child{margin-bottom:0}
ul,ol{padding-inline-start:22px}
a{color:inherit}
code{font:.9em ui-monospace,monospace}
p code,li code{background:var(--bg);border-radius:4px;padding:1px 4px}
.z{position:relative}
.z pre{background:var(--bg);border:1px solid var(--b);border-radius:10px;padding:10px 46px 10px 12px;overflow-x:auto;overflow-wrap:normal;text-align:left}
.z .k{position:absolute;top:4px;right:4px;background:var(--bg)}
.y{display:flex;gap:5px;align-items:center;min-height:22px}
.y i{width:7px;height:7px;border-radius:50%;background:var(--mu)}
.n{padding:8px 16px;background:var(--s);font-size:14px}
.n:empty{display:none}
.f{padding:10px 12px;border-top:1px solid var(--b)}
.e{display:flex;align-items:flex-end;gap:6px;border:1px solid #7c8595;border-radius:14px;padding:4px}
.e:focus-within{border-color:var(--fg);box-shadow:0 0 0 1px var(--fg)}
textarea{flex:1;align-self:center;min-width:0;resize:none;font-size:16px;line-height:1.4;padding:6px 8px;max-height:132px}
textarea:focus-visible{outline:0}
::placeholder{color:var(--mu);opacity:1}
.s{background:var(--a);color:var(--on);outline-color:var(--fg)!important}
@media (pointer:coarse){.k,.i button,.n button{min-width:44px;min-height:44px}.z pre{padding-right:54px}}
@media (forced-colors:active){.c,.k,.o{border-color:ButtonText}.y i{background:CanvasText}.e:focus-within{outline:2px solid Highlight}}
@media (prefers-reduced-motion:no-preference){
.popup .p{animation:up .2s}
.y i{animation:dot 1s infinite}i+i{animation-delay:.15s!important}i+i+i{animation-delay:.3s!important}
@keyframes up{from{opacity:0;transform:translateY(12px)}}
@keyframes dot{30%{opacity:.3}}
}`;

// For what may be forbidden or malformed, and then is as if it were not there.
const tryTo = (work) => {
  try {
    return work();
  } catch {}
};

let sheet;
const styleSheet = () => {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
};

const ICONS = {
  chat: "M21 12a8 8 0 0 1-8 8H4l1.6-3.2A8 8 0 1 1 21 12z",
  down: "M6 9l6 6 6-6",
  close: "M6 6l12 12M18 6L6 18",
  send: "M12 19V5M5 12l7-7 7 7",
  stop: "M8 8h8v8H8zM9 10h6M9 12h6M9 14h6",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  done: "M5 12l5 5L20 7",
  end: "M12 3v8M7 6a8 8 0 1 0 10 0",
};

const icon = (name) => {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
};

// An element with attributes, listeners (`onclick`) and children; nothing is ever parsed as HTML.
const make = (tag, attributes, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};

const relabel = (button, name, label) => {
  button.replaceChildren(icon(name));
  button.setAttribute("aria-label", label);
  button.title = label;
  return button;
};

const iconButton = (name, label, onclick, more) => relabel(make("button", { class: "k", onclick, ...more }), name, label);

// White or black, whichever is easier to read on the colour: one of them always has a contrast over 4.5.
const readableOn = (rgb) => {
  const [r, g, b] = rgb.map((value) => (value / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
};
