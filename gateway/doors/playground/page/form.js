/** The form of one endpoint: a control for each field, and their values. */

import { element } from "./dom.js";
import { pictureField } from "./picture.js";

/** Build the controls; `change(name, value)` hears of every edit.
 * @param {import("./fields.js").Field[]} fields @param {Object<string, any>} values @param {string[]} styles
 * @param {(name: string, value: any) => void} change */
export function controls(fields, values, styles, change) {
  return fields.map((field) => control(field, values, styles, change));
}

function control(field, values, styles, change) {
  const id = `field-${field.name}`;
  const build = KINDS[field.kind];
  const body = build(field, values[field.name], id, (value) => change(field.name, value), styles, change);
  const error = element("span", { className: "error", id: `${id}-error` });
  const help = field.help ? element("span", { className: "help" }, field.help) : null;
  if (field.kind === "check") return element("label", { className: "check" }, body, field.label, error);
  const grouped = ["picture", "slot", "styles", "sides"].includes(field.kind);
  return grouped
    ? element("div", {}, element("label", { htmlFor: id }, field.label), body, help, error)
    : element("label", {}, field.label, body, help, error);
}

const KINDS = {
  text: (field, value, id, set) =>
    element("textarea", { id, rows: 3, value: value ?? "", oninput: (event) => set(event.target.value) }),
  number: ({ min, max, step }, value, id, set) =>
    element("input", {
      id, type: "number", min, max, step, value: value ?? "",
      oninput: (event) => set(event.target.value === "" ? "" : Number(event.target.value)),
    }),
  check: (field, value, id, set) =>
    element("input", { id, type: "checkbox", checked: value, onchange: (event) => set(event.target.checked) }),
  choice: ({ options }, value, id, set) =>
    element("select", { id, onchange: (event) => set(event.target.value) }, ...choices(options, value)),
  sides: ({ options }, value, id, set) => many(options, value ?? [], id, set),
  styles: (field, value, id, set, styles) => element("div", { className: "styles" }, many(styles, value ?? DEFAULT_STYLES, id, set)),
  picture: (field, value, id, set, styles, change) =>
    pictureField({ paint: Boolean(field.mask), id }, ({ url, mask }) => {
      set(url);
      if (field.mask) change("mask_image_url", mask);
    }),
  slot: ({ options }, value, id, set) => slot(options, id, set),
};

export const DEFAULT_STYLES = ["Fooocus Enhance", "Fooocus V2", "Fooocus Sharp"];

function choices(options, value) {
  return options.map((option) => element("option", { value: option, selected: option === value }, option));
}

function many(options, chosen, id, set) {
  const picked = new Set(chosen);
  const toggle = (option, on) => {
    if (on) picked.add(option);
    else picked.delete(option);
    set(options.filter((name) => picked.has(name)));
  };
  const boxes = options.map((option) =>
    element("label", { className: "check" },
      element("input", { type: "checkbox", checked: picked.has(option), onchange: (event) => toggle(option, event.target.checked) }), option),
  );
  return element("div", { id }, ...boxes);
}

/** One image prompt: picture, type, weight, stop. */
function slot(options, id, set) {
  const value = { type: options[0], weight: 1, stop_at: 0.5 };
  const told = () => set(value.image_url ? { ...value } : undefined);
  const number = (name, max) =>
    element("label", {}, name.replace("_", " "),
      element("input", { type: "number", min: 0, max, step: 0.05, value: value[name], oninput: (event) => { value[name] = Number(event.target.value); told(); } }));
  const kind = element("select", { onchange: (event) => { value.type = event.target.value; told(); } }, ...choices(options, value.type));
  return element("div", {},
    pictureField({ paint: false, id }, ({ url }) => { value.image_url = url; told(); }),
    kind, element("div", { className: "row" }, number("weight", 2), number("stop_at", 1)));
}

/** Show what was wrong with each field; an empty object clears all. @param {Object<string, string>} errors */
export function showErrors(errors) {
  for (const place of document.querySelectorAll("[id^=field-][id$=-error]")) {
    const name = place.id.slice("field-".length, -"-error".length);
    place.textContent = errors[name] ?? "";
    document.getElementById(`field-${name}`)?.setAttribute("aria-invalid", String(name in errors));
  }
}
