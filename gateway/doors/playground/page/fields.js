/** What each endpoint can be told: the fields of fal's schema that the page offers, and how to show them. */

const UPLOAD = "A file, or drop one here";

/** @typedef {{name: string, label: string, kind: string, options?: string[], value?: any, help?: string,
 *   min?: number, max?: number, step?: number, more?: boolean, mask?: boolean}} Field */

export const SIZES = ["1024x1024", "512x512", "768x768", "1152x896", "896x1152", "1216x832", "832x1216", "1344x768", "768x1344"];
export const CONTROLS = ["ImagePrompt", "PyraCanny", "CPDS", "FaceSwap"];

/** @type {Field[]} */
const COMMON = [
  { name: "prompt", label: "Prompt", kind: "text", value: "a red circle on a blue background" },
  { name: "performance", label: "Performance", kind: "choice", options: ["Speed", "Quality", "Extreme Speed", "Lightning"], value: "Extreme Speed" },
  { name: "aspect_ratio", label: "Size", kind: "choice", options: SIZES, value: "1024x1024" },
  { name: "num_images", label: "Images", kind: "number", min: 1, max: 4, step: 1, value: 1 },
  { name: "seed", label: "Seed", kind: "number", min: 0, step: 1, value: "", help: "Empty: a new one each time" },
  { name: "negative_prompt", label: "Negative prompt", kind: "text", value: "", more: true },
  { name: "styles", label: "Styles", kind: "styles", more: true },
  { name: "guidance_scale", label: "Guidance scale", kind: "number", min: 1, max: 30, step: 0.1, value: 4, more: true },
  { name: "sharpness", label: "Sharpness", kind: "number", min: 0, max: 30, step: 0.1, value: 2, more: true },
  { name: "output_format", label: "Format", kind: "choice", options: ["jpeg", "png", "webp"], value: "jpeg", more: true },
  { name: "enable_safety_checker", label: "Safety checker", kind: "check", value: true, more: true },
];

const INPAINT = [
  { name: "inpaint_image_url", label: "Picture; paint over what shall change", kind: "picture", mask: true, help: UPLOAD },
  { name: "outpaint_selections", label: "Grow to", kind: "sides", options: ["Left", "Right", "Top", "Bottom"] },
  { name: "inpaint_mode", label: "Mode", kind: "choice", value: "Inpaint or Outpaint (default)", options: [
    "Inpaint or Outpaint (default)", "Improve Detail (face, hand, eyes, etc.)", "Modify Content (add objects, change background, etc.)"] },
];
const PROMPT_SLOT = { name: "image_prompt_1", label: "Picture", kind: "slot", options: CONTROLS, help: UPLOAD };
const UPSCALE = [
  { name: "uov_image_url", label: "Picture", kind: "picture", help: UPLOAD },
  { name: "uov_method", label: "Method", kind: "choice", value: "Vary (Strong)", options: [
    "Vary (Subtle)", "Vary (Strong)", "Upscale (1.5x)", "Upscale (2x)", "Upscale (Fast 2x)"] },
];

/** @type {Object<string, {title: string, fields: Field[]}>} */
export const ENDPOINTS = {
  "fal-ai/fooocus": { title: "Text to image", fields: COMMON },
  "fal-ai/fooocus/inpaint": { title: "Inpaint", fields: [...INPAINT, ...COMMON] },
  "fal-ai/fooocus/image-prompt": { title: "Image prompt", fields: [PROMPT_SLOT, ...COMMON] },
  "fal-ai/fooocus/upscale-or-vary": { title: "Upscale or vary", fields: [...UPSCALE, ...COMMON] },
};

/** The input of a call: what differs from fal's defaults, and what is required.
 * @param {Field[]} fields @param {Object<string, any>} values */
export function inputOf(fields, values) {
  const input = {};
  for (const field of fields) {
    const value = values[field.name];
    const isDefault = field.name !== "prompt" && (value === field.value || value === undefined || value === "");
    if (!isDefault && !(Array.isArray(value) && field.kind === "sides" && value.length === 0)) input[field.name] = value;
  }
  if (values.mask_image_url) input.mask_image_url = values.mask_image_url;
  return input;
}
