/** Pictures of the form: chosen, dropped, shrunk to what the model can use, and painted over. */

import { element } from "./dom.js";

const LONGEST = 2048;
const BRUSH = 0.05;

/** @param {Blob} file @returns {Promise<HTMLCanvasElement>} the picture, at most LONGEST pixels a side */
async function drawn(file) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const canvas = element("canvas", { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** A field for one picture. `change` gets `{url, mask}`, data URIs; `mask` only when it may be painted over and was.
 * @param {{paint: boolean, id: string}} options @param {(value: {url?: string, mask?: string}) => void} change */
export function pictureField({ paint, id }, change) {
  const shown = element("div");
  const input = element("input", { type: "file", accept: "image/png,image/jpeg,image/webp", id });
  const box = element("div", { className: "picture" }, input, shown);
  const take = async (file) => {
    if (!file) return;
    const canvas = await drawn(file).catch(() => null);
    if (canvas === null) {
      shown.replaceChildren(element("p", { className: "error" }, "This file is no picture the browser can read"));
      return change({});
    }
    const url = canvas.toDataURL("image/png");
    change({ url });
    shown.replaceChildren(canvas);
    if (paint) painted(canvas, shown, (mask) => change({ url, mask }));
  };
  input.addEventListener("change", () => take(input.files[0]));
  box.addEventListener("dragover", (event) => event.preventDefault());
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  return box;
}

/** Let strokes on `canvas` become a mask: white where painted, black elsewhere. */
function painted(canvas, parent, change) {
  const mask = element("canvas", { width: canvas.width, height: canvas.height });
  const original = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const radius = BRUSH * Math.max(canvas.width, canvas.height);
  const clear = () => {
    const pen = mask.getContext("2d");
    pen.fillStyle = "black";
    pen.fillRect(0, 0, mask.width, mask.height);
    canvas.getContext("2d").putImageData(original, 0, 0);
    change(undefined);
  };
  const dot = (event) => {
    const bounds = canvas.getBoundingClientRect();
    const x = ((event.clientX - bounds.left) / bounds.width) * canvas.width;
    const y = ((event.clientY - bounds.top) / bounds.height) * canvas.height;
    for (const [target, colour] of [[mask, "white"], [canvas, "rgba(255,255,255,.6)"]]) {
      const pen = target.getContext("2d");
      pen.fillStyle = colour;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.fill();
    }
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    dot(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && dot(event));
  canvas.addEventListener("pointerup", () => change(mask.toDataURL("image/png")));
  clear();
  parent.append(element("button", { type: "button", onclick: clear }, "Clear the mask"));
}
