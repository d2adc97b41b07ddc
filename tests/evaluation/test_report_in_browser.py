"""The report as a reader uses it, in Chromium, from a file and without a network."""

import dataclasses
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from evaluation.charts import png, training_curves
from evaluation.html_pictures import Picture
from evaluation.html_report import (
    ReportContent,
    ReportFigure,
    ReportSection,
    ReportTable,
    render_report,
)
from evaluation.image_browser import ImageBrowser
from evaluation.overlays import Example, ScoredZones
from tests.evaluation.shown import claim, undecided, unjudged

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

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
    long = pd.DataFrame({"finding": ["Mass", "Nodule"] * 20, "iou": np.arange(40) / 100})
    figure = ReportFigure("f", HOSTILE, "A.", Picture("two curves", png(training_curves(history))))
    tables = (ReportTable("t", "T", "", table), ReportTable("long", "Long", "", long))
    films = [
        example(0, "Mass", role="typical, mean IoU 0.20"),
        example(1, "Nodule", role="typical, mean IoU 0.10"),
        example(2, "Mass", role="worst, mean IoU 0.01"),
        example(3, HOSTILE, role="best"),
    ]
    masks = np.zeros((6, SIDE, SIDE), bool)
    masks[np.arange(6), 2 * np.arange(6)] = True
    scored = example(4, "severity", severity=7.0, boxes=(), role="worst",
                     zones=ScoredZones(masks, np.array([0, 1, 2, 3, 0, 1])))  # fmt: skip
    numbers = np.arange(1, 13)
    given = [claim(number=n) if n % 3 else undecided(number=n) for n in numbers]
    given[-1] = unjudged(number=12)
    return ReportContent(
        title="A run",
        banner="phantoms",
        statement=("What was run.", "What it can show."),
        verdicts=("What came out.",),
        facts={"films": 4},
        claims=pd.DataFrame(given),
        scores=ReportSection("scores", "Scores", (dataclasses.replace(tables[0], id="board"),)),
        sections=(ReportSection("s", "Tables", (*tables, figure), folded=True),),
        browser=ImageBrowser("By a rule.", {"Findings": films, "Severity": [scored]}),
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


def tile(page: "Page", name: str) -> "Locator":
    return page.locator(".tile").filter(has=page.locator("b", has_text=re.compile(f"^{name}$")))


def opened(page: "Page", name: str) -> None:
    page.locator(f"#{name} > summary").click()


def test_the_first_screen_shows_what_was_run_and_every_claim(page):
    page.set_viewport_size({"width": 1300, "height": 900})
    assert page.locator(".kind summary").text_content().strip() == "phantoms What was run."
    rows = page.locator(".claims tbody tr")
    assert rows.count() == 12
    last = rows.last.bounding_box()
    assert last["y"] + last["height"] < 900
    assert not page.get_by_text("What it can show.").is_visible()
    page.locator(".kind summary").click()
    assert page.get_by_text("What it can show.").is_visible()


def test_long_tables_are_folded_and_filtered_by_words(page):
    assert not page.locator("#long table").is_visible()
    assert page.locator("#board table").is_visible()
    opened(page, "long")
    page.locator("#long .filter").fill("nodule 0.07")
    shown = [row for row in page.locator("#long tbody tr").all() if row.is_visible()]
    assert [row.text_content().split() for row in shown] == [["Nodule", "0.070"]]
    assert page.locator("#t .filter").count() == 0  # two rows need none


def test_every_picture_has_words_and_is_there(page):
    opened(page, "f")
    pictures = page.locator("img")
    assert pictures.count() == 6  # a figure, the film, and under each of two maps the film again
    for picture in pictures.all():
        assert picture.get_attribute("alt")
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_methods_stand_beside_each_other_each_with_its_words_and_scale(page):
    page.select_option("#browser-film", "2")
    assert page.locator(".tile b").all_text_contents() == ["Film", "IBA", "GradCAM"]
    words = tile(page, "IBA").locator("span").all_text_contents()
    assert words[-2:] == ["full colour at 2 bits/pixel", "IoU 0.20 · 32 bits"]
    alt = tile(page, "GradCAM").locator("img").nth(1).get_attribute("alt")
    assert alt == "GradCAM map for Mass, full colour at its own maximum"
    page.get_by_label("GradCAM").uncheck()
    assert page.locator(".tile b").all_text_contents() == ["Film", "IBA"]
    page.select_option("#browser-film", "1")  # another film keeps the choice
    assert page.locator(".tile b").all_text_contents() == ["Film", "IBA"]


def test_a_finding_and_a_role_narrow_the_films_and_show_the_first(page):
    assert options(page, "part") == ["Findings", "Severity"]
    assert options(page, "finding") == ["all", "Mass", "Nodule", HOSTILE]
    assert len(options(page, "film")) == 4
    page.select_option("#browser-finding", "Mass")
    assert options(page, "film") == [
        "Mass · typical, mean IoU 0.20 · film0.png",
        "Mass · worst, mean IoU 0.01 · film2.png",
    ]
    page.select_option("#browser-role", "worst")
    caption = page.locator("#browser-caption")
    assert caption.text_content() == (
        "film2.png · Mass · predicted probability 0.70 · worst, mean IoU 0.01"
    )
    page.select_option("#browser-role", "")
    page.select_option("#browser-finding", HOSTILE)
    assert HOSTILE in caption.text_content()


def test_the_severity_shows_its_zones_with_their_scores(page):
    page.select_option("#browser-part", "Severity")
    assert page.locator(".tile text").all_text_contents() == ["0", "1", "2", "3", "0", "1"]
    outlines = page.get_by_alt_text("Outlines of the six zones")
    assert outlines.count() == 3
    caption = page.locator("#browser-caption").text_content()
    assert "predicted severity 7.0 of 18" in caption
    assert "scored 7 of 18" in caption
    page.locator("#browser-truth").uncheck()
    assert outlines.count() == page.locator(".tile text").count() == 0


def test_opacity_by_keyboard_changes_what_is_seen(page):
    def seen() -> bytes:
        return tile(page, "IBA").locator(".stack").screenshot()

    shown = seen()
    page.locator("#browser-opacity").focus()
    page.keyboard.press("Home")
    assert page.locator("#browser-percent").text_content() == "0 %"
    without = seen()
    assert without != shown
    page.locator("#browser-opacity").press("End")
    assert seen() != without


def test_the_box_lies_over_its_quarter_of_the_film_and_can_be_hidden(page):
    stack, box = page.locator(".stack").first, page.locator(".tile rect.box").first
    whole, drawn = stack.bounding_box(), box.bounding_box()
    share = [
        (drawn["x"] - whole["x"]) / whole["width"],
        (drawn["y"] - whole["y"]) / whole["height"],
        drawn["width"] / whole["width"],
    ]
    np.testing.assert_allclose(share, 0.25, atol=0.01)
    page.locator("#browser-truth").focus()
    page.keyboard.press("Space")
    assert page.locator(".tile rect.box").count() == 0


def test_a_tile_grows_and_shrinks_again(page):
    page.set_viewport_size({"width": 1300, "height": 900})
    button = tile(page, "IBA").locator("button")
    small = button.bounding_box()["width"]
    button.click()
    assert button.bounding_box()["width"] > 1.9 * small
    page.select_option("#browser-film", "1")  # stays large for the next film
    assert button.bounding_box()["width"] > 1.9 * small
    button.click()
    assert button.bounding_box()["width"] == small


def test_every_control_is_reached_by_the_tab_key(page):
    wanted = {f"browser-{name}" for name in ("part", "finding", "role", "film", "opacity", "truth")}
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id"))
    assert wanted <= reached
    assert "theme" in reached


def test_a_tables_head_sorts_it_and_a_picture_grows_in_a_dialog(page):
    page.locator("#board").get_by_role("button", name="IoU").click()
    first = page.locator("#board tbody tr").first
    assert first.locator("th").text_content().strip().startswith("LRP")
    opened(page, "f")
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
        *("h1", ".short", ".banner summary", ".caption", "nav a", "#board td", "#board th"),
        *(".verdict.holds b", ".verdict.undecided b", ".claims .reason", ".claims small"),
        *("#browser-film", "#browser-caption", ".controls label", ".tile b + span", "#t summary"),
    ):
        assert contrast(page, selector) >= 4.5, selector


def test_on_a_narrow_screen_nothing_runs_out_of_the_page(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
