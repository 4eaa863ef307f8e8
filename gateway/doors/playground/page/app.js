/** The page: one form, one running call, what came of it. */

import { CallFailed, readiness, run, styles } from "./api.js";
import { LANGUAGES, shortened } from "./code.js";
import { byId, element, tabs } from "./dom.js";
import { ENDPOINTS, inputOf } from "./fields.js";
import { controls, showErrors } from "./form.js";

const KEPT = 24;
const page = { endpoint: "fal-ai/fooocus", language: "javascript", values: {}, styles: [], running: null };
const base = new URL(".", location.href).href.replace(/\/$/, "");
const key = () => byId("key").value.trim();
const input = () => inputOf(ENDPOINTS[page.endpoint].fields, page.values);

function showForm() {
  const { fields } = ENDPOINTS[page.endpoint];
  for (const field of fields) page.values[field.name] ??= field.value;
  const build = (more) => controls(fields.filter((field) => Boolean(field.more) === more), page.values, page.styles, change);
  byId("fields").replaceChildren(...build(false));
  byId("more").replaceChildren(...build(true));
  showCode();
}

function change(name, value) {
  page.values[name] = value;
  showCode();
}

function showCode() {
  const { write } = LANGUAGES[page.language];
  byId("snippet").textContent = write(base, page.endpoint, shortened(input()), key() !== "");
}

async function generate(event) {
  event.preventDefault();
  const stop = new AbortController();
  page.running = stop;
  begin();
  const started = performance.now();
  try {
    let last = null;
    for await (const news of run(page.endpoint, input(), key(), stop.signal)) {
      last = news;
      if (news.progress) showStep(news);
    }
    if (last === null || last.progress) throw new CallFailed("The connection ended before the picture was done");
    showOutput(last, (performance.now() - started) / 1000);
  } catch (error) {
    showFailure(error, stop.signal.aborted);
  } finally {
    end();
  }
}

function begin() {
  showErrors({});
  byId("run").disabled = true;
  byId("stop").hidden = false;
  byId("progress").hidden = false;
  byId("progress").removeAttribute("value");
  byId("state").className = "";
  byId("state").textContent = "Waiting for a worker …";
  byId("pictures").replaceChildren();
}

function end() {
  page.running = null;
  byId("run").disabled = false;
  byId("stop").hidden = true;
  byId("progress").hidden = true;
}

function showStep({ images, progress }) {
  byId("progress").value = progress.share;
  byId("state").textContent = `Step ${progress.step}/${progress.steps} of image ${progress.image + 1}/${progress.images}`;
  if (images.length) byId("pictures").replaceChildren(element("img", { className: "preview", src: images[0].url, alt: "Preview" }));
}

function showOutput(output, seconds) {
  byId("state").textContent = `Done in ${seconds.toFixed(1)} s`;
  byId("pictures").replaceChildren(...output.images.map((image, index) => figure(image, output.has_nsfw_concepts[index])));
  for (const image of output.images) remember(image);
}

function figure(image, flagged) {
  const caption = `${image.width} × ${image.height}, ${Math.round(image.file_size / 1024)} KB${flagged ? ", flagged by the safety checker" : ""}`;
  return element("figure", {},
    element("a", { href: image.url, target: "_blank", rel: "noopener" }, element("img", { src: image.url, alt: page.values.prompt })),
    element("figcaption", {}, caption));
}

function remember(image) {
  const gallery = byId("gallery");
  const small = element("img", { src: image.url, alt: page.values.prompt, onclick: () => byId("pictures").replaceChildren(figure(image, false)) });
  gallery.prepend(element("figure", {}, small));
  while (gallery.children.length > KEPT) gallery.lastChild.remove();
}

function showFailure(error, stopped) {
  const state = byId("state");
  byId("pictures").replaceChildren();
  if (stopped) {
    state.textContent = "Stopped";
    return;
  }
  state.className = "error";
  state.textContent = error instanceof CallFailed ? error.message : "The gateway cannot be reached";
  showErrors(error.errors ?? {});
}

async function look() {
  byId("connection").textContent = await readiness();
  setTimeout(look, 5000);
}

byId("form").addEventListener("submit", generate);
byId("stop").addEventListener("click", () => page.running?.abort());
byId("key").addEventListener("change", showCode);
byId("copy").addEventListener("click", () => navigator.clipboard.writeText(byId("snippet").textContent));
tabs(byId("languages"), Object.entries(LANGUAGES).map(([name, { title }]) => [name, title]), (name) => {
  page.language = name;
  showCode();
})(page.language);
tabs(byId("endpoints"), Object.entries(ENDPOINTS).map(([name, { title }]) => [name, title]), (name) => {
  page.endpoint = name;
  delete page.values.mask_image_url;
  showForm();
})(page.endpoint);
look();
styles(key()).then((names) => {
  page.styles = names;
  showForm();
});
