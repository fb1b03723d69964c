// A question as something to fill in: `{id, node, value(), fault(text), focus()}`. Prompts are plain text.

// The chat's maker of elements and its Markdown: the one thing both files need.
let make;
let render;
let made = 0;

// Up to this many choices are all in sight.
const FEW = 7;
const TEXTS = { email: "email", date: "date", number: "number" };

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => [from + at, String(from + at)]);

const choicesOf = ({ input_type, options = [], min, max }, W) => {
  if (input_type === "nps") return range(0, 10);
  if (input_type === "rating") return range(min || 1, max || 5);
  if (input_type === "boolean") return [[true, W.yes], [false, W.no]];
  return options.map(({ value, label }) => [value, label || value]);
};

// An answer as its giver reads it later.
const sayAnswer = (field, value, W) => {
  if (value == null || value === "") return "–";
  if (!/select|boolean/.test(field.input_type)) return String(value);
  const labels = new Map(choicesOf(field, W));
  return [].concat(value).map((one) => labels.get(one) ?? one).join(", ");
};

const makeChoice = (field, names, W) => {
  const { input_type: type, required } = field;
  const isMany = type === "multiselect";
  const isScale = type === "nps" || type === "rating";
  const choices = choicesOf(field, W);
  const boxes = choices.map(() => make("input", { type: isMany ? "checkbox" : "radio", name: names.id }));
  const labels = choices.map(([, label], at) => make("label", null, boxes[at], make("span", { dir: "auto" }, label)));
  const node = make("fieldset", { class: "g", role: isMany ? "group" : "radiogroup", "aria-describedby": names.error, ...(required && !isMany && { "aria-required": true }) },
    make("legend", null, ...names.label), make("div", { class: isScale ? `j j${Math.min(6, choices.length)}` : "d" }, ...labels));
  if (type === "nps") node.append(make("div", { class: "v2" }, make("span", null, W.low), make("span", null, W.high)));
  // A choice that nobody has to make can be taken back.
  if (!required && !isMany) boxes.forEach((box) => box.addEventListener("click", () => {
    if (box.was) box.checked = false;
    const isOn = box.checked;
    for (const one of boxes) one.was = false;
    box.was = isOn;
  }));
  const chosen = () => choices.filter((_, at) => boxes[at].checked).map(([value]) => value);
  return { node, control: node, value: () => (isMany ? chosen() : chosen()[0] ?? null), focus: () => (boxes.find((box) => box.checked) || boxes[0]).focus() };
};

const makeText = (field, names, W) => {
  const { input_type: type, required, min, max, max_length } = field;
  const more = { id: names.id, "aria-describedby": names.error, ...(required && { "aria-required": true }) };
  let control;
  if (type === "select") {
    control = make("select", more, make("option", { value: "" }, W.choose), ...field.options.map(({ value, label }) => make("option", { value }, label || value)));
  } else if (type === "textarea") control = make("textarea", { ...more, rows: 4, dir: "auto" });
  else {
    control = make("input", { ...more, class: "f1", type: TEXTS[type] || "text", dir: "auto", ...(type === "email" && { autocomplete: "email" }), ...(type === "number" && { step: "any", inputmode: "decimal" }) });
    if (min != null) control.setAttribute("min", min);
    if (max != null) control.setAttribute("max", max);
  }
  if (max_length && /text/.test(type)) control.setAttribute("maxlength", max_length);
  const value = () => {
    // What cannot be read is said to be wrong by the server, not taken for nothing.
    if (control.validity.badInput) return "?";
    const text = control.value.trim();
    return text === "" ? null : type === "number" ? Number(text) : text;
  };
  return { node: make("div", { class: "g" }, make("label", { class: "b1", for: names.id }, ...names.label), control), control, value, focus: () => control.focus() };
};

const makeField = (field, W) => {
  const id = "q" + (made += 1);
  const label = [make("span", { dir: "auto" }, field.prompt), ...(field.required ? [" ", make("span", { class: "w" }, `(${W.required})`)] : [])];
  const isChoice = /multi|rating|nps|boolean/.test(field.input_type) || (field.input_type === "select" && field.options.length <= FEW);
  const base = (isChoice ? makeChoice : makeText)(field, { id, label, error: id + "e" }, W);
  const error = make("div", { class: "x", id: id + "e" });
  base.node.append(error);
  base.control.dataset.id = field.id;
  return {
    ...base,
    id: field.id,
    isMissing: () => field.required && [null, ""].includes(base.value() && String(base.value())),
    fault(text) {
      error.textContent = text || "";
      if (text) base.control.setAttribute("aria-invalid", true);
      else base.control.removeAttribute("aria-invalid");
    },
  };
};

// The form of a step; `submit(value)` is a promise that fails with what the server said.
const makeForm = (step, W, submit) => {
  const fields = [];
  const add = (field) => {
    const one = makeField(field, W);
    fields.push(one);
    return one.node;
  };
  const parts = step.field ? [add(step.field)] : step.items.map((item) => (item.kind === "field" ? add(item) : make("p", { dir: "auto" }, item.text)));
  const button = make("button", { class: "b2", part: "submit", type: "submit" }, W.submit);
  const summary = make("div", { class: "x", role: "alert" });
  const form = make("form", { class: "q", part: "step", novalidate: "", ...(step.title && { "aria-label": step.title }) }, ...(step.title ? [make("h2", { dir: "auto" }, step.title)] : []), ...parts, summary, button);
  let isSending = false;
  const send = (sending) => {
    isSending = sending;
    button.setAttribute("aria-disabled", sending);
  };
  // What fits no field is said above the button.
  const show = (errors) => {
    const rest = errors.filter(({ field }) => !fields.some(({ id }) => id === field));
    for (const one of fields) one.fault(errors.filter(({ field }) => field === one.id).map(({ message }) => message).join(" "));
    summary.textContent = rest.map(({ message }) => message).join(" ") || (errors.length && fields.length > 1 ? W.check : "");
    fields.find(({ id }) => errors.some(({ field }) => field === id))?.focus();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isSending) return;
    const missing = fields.filter((one) => one.isMissing()).map(({ id }) => ({ field: id, message: W.needed }));
    show(missing);
    if (missing.length) return;
    send(true);
    try {
      await submit(step.field ? fields[0].value() : Object.fromEntries(fields.map((one) => [one.id, one.value()])));
    } catch (error) {
      send(false);
      show(error.errors || [{ message: error.message }]);
    }
  });
  return { node: form, focus: () => (fields[0] || { focus: () => button.focus() }).focus() };
};
