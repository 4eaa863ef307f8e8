/** Small helpers for elements. Text is always text: nothing here reads HTML. */

/** Make an element. @param {string} tag @param {Object<string, any>} [props] @param {...(Node|string|null)} children */
export function element(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "list" && name !== "form") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** A row of tabs; `choose` is called with the chosen name. */
export function tabs(parent, names, choose) {
  const buttons = names.map(([name, title]) =>
    element("button", { type: "button", role: "tab", onclick: () => select(name) }, title),
  );
  const select = (name) => {
    buttons.forEach((button, index) => button.setAttribute("aria-selected", String(names[index][0] === name)));
    choose(name);
  };
  parent.replaceChildren(...buttons);
  return select;
}
