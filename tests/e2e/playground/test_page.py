"""The playground in a real browser: a picture from a prompt, its steps, errors at their fields, stop, the code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.browser import Page, browsing
from tests.support.gateway import GatewayProcess, joined, render_worker, serving_gateway

PICTURE = "document.querySelector('#pictures figure img')"
SHOWN = f"{PICTURE} !== null"
STATE = "document.getElementById('state').textContent"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    home = tmp_path_factory.mktemp("playground")
    process = GatewayProcess(home / "gateway")
    worker = render_worker(process, home)
    worker.environment = {"FOOOCUS_PROGRESS_INTERVAL_S": "0"}
    with serving_gateway(process), joined(worker):
        yield process


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(gateway: GatewayProcess, browser: Page) -> Page:
    """The page, loaded anew, its form set to small pictures."""
    browser.troubles.clear()
    browser.open(gateway.url + "/")
    browser.until("document.querySelectorAll('.styles input').length === 277")
    fill(browser, "aspect_ratio", "512x512", "change")
    return browser


def fill(page: Page, field: str, value: str, event: str = "input") -> None:
    page.evaluate(
        f"(() => {{ const field = document.getElementById('field-{field}'); field.value = {value!r};"
        f" field.dispatchEvent(new Event('{event}')); }})()"
    )


def click(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector({selector!r}).click()")


def test_a_prompt_becomes_a_picture_with_its_steps_on_the_way(page: Page) -> None:
    page.evaluate(
        "window.seen = []; new MutationObserver(() => window.seen.push("
        f"{STATE})).observe(document.getElementById('state'), {{childList: true}})"
    )
    click(page, "#run")
    page.until(SHOWN, 120)
    assert page.until(f"{PICTURE}.naturalWidth") == 512
    seen = page.evaluate("window.seen")
    assert any(text.startswith("Step ") and "/8 of image 1/1" in text for text in seen), seen
    assert seen[-1].startswith("Done in ")
    assert page.evaluate("document.querySelectorAll('#gallery img').length") == 1
    assert page.troubles == []


def test_a_wrong_value_is_told_at_its_field(page: Page) -> None:
    fill(page, "num_images", "9")
    click(page, "#run")
    told = page.until("document.getElementById('field-num_images-error').textContent")
    assert "less than or equal to 4" in told
    assert page.evaluate("document.getElementById('field-num_images').getAttribute('aria-invalid')") == "true"
    assert not page.evaluate("document.getElementById('run').disabled")


def test_stop_ends_the_job(page: Page, gateway: GatewayProcess) -> None:
    fill(page, "performance", "Quality", "change")
    fill(page, "aspect_ratio", "1024x1024", "change")
    click(page, "#run")
    page.until(f"{STATE}.startsWith('Step ')", 60)
    click(page, "#stop")
    assert page.until(f"{STATE} === 'Stopped'")
    page.until("fetch('readyz').then((answer) => answer.json()).then((body) => body.workers.running === 0)", 30)
    assert gateway.workers()["idle"] == 1


@pytest.mark.parametrize(("tab", "line"), [(0, "proxyUrl"), (1, "fal_client.subscribe("), (2, "curl -s ")])
def test_the_code_shows_the_call_of_the_form(page: Page, tab: int, line: str) -> None:
    fill(page, "seed", "42")
    click(page, f"#languages button:nth-child({tab + 1})")
    code = page.evaluate("document.getElementById('snippet').textContent")
    assert line in code
    assert '"seed": 42' in code.replace('"seed":42', '"seed": 42')
    assert "guidance_scale" not in code


def test_hostile_text_stays_text(page: Page) -> None:
    fill(page, "prompt", '<img src=x onerror="window.hit=1">')
    click(page, "#run")
    page.until(SHOWN, 120)
    assert page.evaluate("window.hit") is None


def test_each_endpoint_has_its_form(page: Page) -> None:
    for tab, field in ((2, "inpaint_image_url"), (3, "image_prompt_1"), (4, "uov_image_url"), (1, "prompt")):
        click(page, f"#endpoints button:nth-child({tab})")
        assert page.evaluate(f"document.getElementById('field-{field}') !== null")
    assert page.troubles == []


def test_a_painted_mask_goes_with_the_picture(page: Page, tmp_path: Path) -> None:
    click(page, "#endpoints button:nth-child(2)")
    page.evaluate(DROP)
    page.until("document.querySelector('.picture canvas') !== null")
    page.evaluate(PAINT)
    code = page.until("(() => { const text = document.getElementById('snippet').textContent;"
                      " return text.includes('mask_image_url') && text; })()")  # fmt: skip
    assert "inpaint_image_url" in code
    page.screenshot(tmp_path / "painted.png")


DROP = """
(async () => {
  const canvas = new OffscreenCanvas(128, 128);
  canvas.getContext("2d").fillRect(0, 0, 128, 128);
  const file = new File([await canvas.convertToBlob()], "black.png", { type: "image/png" });
  const data = new DataTransfer();
  data.items.add(file);
  document.querySelector(".picture").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
})()
"""
PAINT = """
(() => {
  const canvas = document.querySelector(".picture canvas");
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const at = { clientX: left + width / 2, clientY: top + height / 2, bubbles: true, buttons: 1, pointerId: 1 };
  canvas.setPointerCapture = () => {};
  for (const kind of ["pointerdown", "pointermove", "pointerup"]) canvas.dispatchEvent(new PointerEvent(kind, at));
})()
"""
