// What the chat's own sheet does not have. The colours are that sheet's.
const CSS = `
.q{container-type:inline-size;display:flex;flex-direction:column;gap:20px;border:1px solid var(--b);border-radius:14px;padding:16px}
.q h2{font-size:17px;line-height:1.35;font-weight:600;margin:0}
.q p,.t2{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}
.g{border:0;margin:0;padding:0;min-width:0}
.g legend,.q .b1{display:block;font-weight:600;padding:0;margin-bottom:10px;overflow-wrap:anywhere}
.w{font-weight:400;font-size:13px;color:var(--mu);white-space:nowrap}
.q select,.q textarea,.q .f1{display:block;font:inherit;font-size:16px;line-height:1.4;color:inherit;background:var(--bg);border:1px solid #7c8595;border-radius:10px;padding:9px 12px;margin:0;width:100%;min-height:44px}
.q textarea{resize:vertical;min-height:96px;max-height:none}
.q textarea:focus-visible{outline:2px solid}
.q [aria-invalid=true]:not(fieldset){border:2px solid #c4320a}
.d{display:flex;flex-direction:column;gap:8px}
.d label{display:flex;gap:10px;align-items:flex-start;border:1px solid #7c8595;border-radius:10px;padding:10px 12px;cursor:pointer}
.d label:has(:checked){border-color:var(--fg);background:var(--s)}
.d span{min-width:0;overflow-wrap:anywhere}
.d input{width:20px;height:20px;margin:1px 0 0;flex:none;accent-color:var(--fg)}
.j{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(24px,1fr);gap:2px}
@container (max-width:290px){.j6{grid-auto-flow:row;grid-template-columns:repeat(6,1fr)}}
.j label{position:relative;cursor:pointer}
.j input{position:absolute;inset:0;width:100%;height:100%;margin:0;opacity:0;cursor:inherit}
.j span{display:grid;place-items:center;min-height:44px;border:1px solid #7c8595;border-radius:8px;font-variant-numeric:tabular-nums}
.j input:checked+span{background:var(--a);color:var(--on);font-weight:700;border:2px solid var(--fg)}
.j input:focus-visible+span{position:relative;outline:2px solid var(--fg);outline-offset:2px}
.v2{display:flex;justify-content:space-between;gap:24px;font-size:13px;color:var(--mu);margin-top:6px}
.v2 :last-child{text-align:end}
.x{color:#b42318;font-size:14px;font-weight:600;margin-top:8px}
.x:empty{display:none}
.dark .x{color:#ffa79b}
.dark .q [aria-invalid=true]:not(fieldset){border-color:#ffa79b}
.b2{align-self:flex-start;background:var(--a);color:var(--on);font-weight:600;border-radius:12px;padding:9px 20px;min-height:44px;outline-color:var(--fg)!important}
.b3{display:block;border:1px solid #7c8595;border-radius:12px;padding:6px 14px;min-height:40px;margin-block-end:8px;margin-inline-start:auto}
.k2{display:block;color:inherit;opacity:.85;font-size:13px}
.t2+.t2{margin-top:8px}
@media (forced-colors:active){.j input:checked+span,.d label:has(:checked){outline:3px solid Highlight}.b2,.b3{border-color:ButtonText}}`;

let sheet;
const styleSheet = () => {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
};
