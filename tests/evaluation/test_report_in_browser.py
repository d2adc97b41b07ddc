"""The report as a reader uses it, in Chromium, from a file and without a network."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from evaluation.charts import png, training_curves
from evaluation.html_report import (
    Picture,
    ReportContent,
    ReportFigure,
    ReportSection,
    ReportTable,
    render_report,
)
from evaluation.image_browser import ImageBrowser
from evaluation.overlays import Example

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
if CHROMIUM is None:
    pytest.skip("no chromium: apt-get install chromium", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

HOSTILE = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'>"
SIDE = 16
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)


def example(sample: int, finding: str, **changes: object) -> Example:
    rng = np.random.default_rng(sample)
    heat = np.zeros((2, SIDE, SIDE), np.float32)
    heat[0, 4:8, 4:8], heat[1, 8:12, 8:12] = 2, 3
    given = {
        "sample": sample,
        "image": f"film{sample}.png",
        "finding": finding,
        "probability": 0.5 + sample / 10,
        "film": rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8),
        "maps": {"iba": heat[0], "grad_cam": heat[1]},
        "boxes": ((256.0, 256.0, 256.0, 256.0),),
        "iou": {"iba": sample / 10},
        "hung": True,
    }
    return Example(**given | changes)


def content() -> ReportContent:
    history = pd.DataFrame(
        {"epoch": [1, 2], "train_loss": [2.0, 1], "val_loss": [2.0, 1], "val_auc": [0.6, 0.7]}
    )
    table = pd.DataFrame({"method": ["iba", "lrp"], "iou": [0.1, 0.3], HOSTILE: [HOSTILE, "b"]})
    figure = ReportFigure("f", HOSTILE, "A.", Picture("two curves", png(training_curves(history))))
    section = ReportSection("s", "Tables", (ReportTable("t", "T", "", table), figure))
    films = [example(0, "Mass"), example(1, "Nodule"), example(2, "Mass"), example(3, HOSTILE)]
    return ReportContent(
        title="A run",
        banner="phantoms",
        statement=("What was run.",),
        verdicts=("What came out.",),
        facts={"films": 4},
        sections=(section, dataclasses.replace(section, id="folded", blocks=(), folded=True)),
        browser=ImageBrowser("By a rule.", films),
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(content()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, report) -> "Iterator[Page]":
    """The report, opened; at the end nothing may have been complained of or asked for."""
    context = chromium.new_context(offline=True)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    yield page
    assert page.evaluate("window.hurt") is None
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]


def options(page: "Page", name: str) -> list[str]:
    return page.locator(f"#browser-{name} option").all_text_contents()


def layer(page: "Page") -> str | None:
    return page.locator("#browser-stack img").nth(1).get_attribute("src")


def test_every_picture_has_words_and_is_there(page):
    pictures = page.locator("img")
    assert pictures.count() == 3  # a figure, a film and its map
    for picture in pictures.all():
        assert picture.get_attribute("alt")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_a_finding_narrows_the_films_and_shows_its_first(page):
    assert options(page, "finding") == ["all", "Mass", "Nodule", HOSTILE]
    assert len(options(page, "film")) == 4
    page.select_option("#browser-finding", "Mass")
    assert options(page, "film") == ["film0.png", "film2.png"]
    page.select_option("#browser-film", label="film2.png")
    caption = page.locator("#browser-caption")
    assert caption.text_content() == "Mass · predicted probability 0.70 · IBA · IoU 0.20 · 32 bits"
    page.select_option("#browser-finding", HOSTILE)
    assert HOSTILE in caption.text_content()
    assert (
        page.locator("#browser-stack img").first.get_attribute("alt").startswith("Film film3.png")
    )


def test_a_method_changes_the_map_its_words_and_its_scale(page):
    before, top = layer(page), page.locator("#browser-top")
    assert top.text_content() == "2 bits/pixel"
    page.select_option("#browser-method", label="GradCAM")
    assert layer(page) != before
    assert top.text_content() == "its own maximum"
    alt = page.locator("#browser-stack img").nth(1).get_attribute("alt")
    assert alt == "GradCAM map for Mass, full colour at its own maximum"
    page.select_option("#browser-film", "1")  # another film keeps the method
    assert page.locator("#browser-method").input_value() == "grad_cam"
    assert page.locator("#browser-caption").text_content() == (
        "Nodule · predicted probability 0.60 · GradCAM"
    )


def centre(page: "Page") -> bytes:
    return page.locator("#browser-stack").screenshot()


def test_opacity_by_keyboard_changes_what_is_seen(page):
    shown = centre(page)
    page.locator("#browser-opacity").focus()
    page.keyboard.press("Home")
    assert page.locator("#browser-percent").text_content() == "0 %"
    without = centre(page)
    assert without != shown
    page.select_option("#browser-method", label="GradCAM")
    assert centre(page) == without  # no map is seen at 0
    page.locator("#browser-opacity").press("End")
    assert centre(page) != without


def test_the_box_lies_over_its_quarter_of_the_film_and_can_be_hidden(page):
    stack, box = page.locator("#browser-stack"), page.locator("#browser-stack rect.box")
    whole, drawn = stack.bounding_box(), box.bounding_box()
    share = [
        (drawn["x"] - whole["x"]) / whole["width"],
        (drawn["y"] - whole["y"]) / whole["height"],
        drawn["width"] / whole["width"],
    ]
    np.testing.assert_allclose(share, 0.25, atol=0.01)
    page.locator("#browser-box").focus()
    page.keyboard.press("Space")
    assert not box.is_visible()


def test_every_control_is_reached_by_the_tab_key(page):
    wanted = {f"browser-{name}" for name in ("finding", "film", "method", "opacity", "box")}
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert wanted <= reached
    assert "theme" in reached


def test_a_tables_head_sorts_it_and_a_picture_grows_in_a_dialog(page):
    page.get_by_role("button", name="IoU").click()
    first = page.locator("#t tbody tr").first
    assert first.locator("th").text_content().strip().startswith("LRP")
    page.locator(".zoom").first.click()
    assert page.locator("#enlarged").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#enlarged").is_visible()


def contrast(page: "Page", selector: str) -> float:
    """WCAG contrast of a text with the nearest background that is painted behind it."""
    ink, ground = page.locator(selector).first.evaluate(
        """element => {
          const ink = getComputedStyle(element).color;
          let ground = "rgba(0, 0, 0, 0)";
          for (let at = element; at && ground === "rgba(0, 0, 0, 0)"; at = at.parentElement)
            ground = getComputedStyle(at).backgroundColor;
          return [ink, ground].map(colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number));
        }"""
    )

    def luminance(colour: list[float]) -> float:
        share = np.array(colour) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(ink), luminance(ground)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_are_legible(page, scheme):
    page.emulate_media(color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(20, 23, 26)") == (scheme == "dark")
    for selector in (
        *("h1", ".lead p", ".verdicts p", ".banner", ".caption", "nav a", "tbody td", "tbody th"),
        *("#browser-film", "#browser-caption", ".controls label", "#browser-top", "summary"),
    ):
        assert contrast(page, selector) >= 4.5, selector


def test_on_a_narrow_screen_nothing_runs_out_of_the_page(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
