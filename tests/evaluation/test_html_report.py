"""The page: nothing from outside, no markup from data, and verdicts that follow from tables."""

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from evaluation.html_pictures import Picture
from evaluation.html_report import (
    ReportContent,
    ReportFigure,
    ReportSection,
    ReportTable,
    render_report,
    shortcuts_verdict,
    summarise_problems,
    table1_verdict,
)
from evaluation.image_browser import ImageBrowser
from evaluation.overlays import Example
from tests.evaluation.shown import claim, table1, undecided

HOSTILE = "<script>alert('x')</script> & \"quoted\""


def png(width: int = 3, height: int = 2) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


TABLE1 = table1()


def browser(**changes: object) -> ImageBrowser:
    film = np.zeros((8, 8), np.uint8)
    given = {"sample": 0, "image": "a.png", "finding": "Mass", "probability": 0.5, "film": film}
    example = Example(**given | {"maps": {"iba": film.astype(np.float32)}} | changes)
    return ImageBrowser("By a rule.", {"Findings": [example]})


def content(**changes: object) -> ReportContent:
    given = ReportContent(
        title="A run",
        banner="phantoms",
        statement=("What was run.",),
        verdicts=("What came out.",),
        facts={"films": 2000, "mean AUC": 0.81234},
        sections=(
            ReportSection(
                "localization",
                "Localisation",
                (
                    ReportFigure("t1", "IoU", "Bars.", Picture("bars of IoU", png())),
                    ReportTable("table1", "Table 1", "All boxes.", TABLE1, "tables/table1.csv"),
                ),
            ),
        ),
        claims=pd.DataFrame([claim(), undecided(number=5)]),
        scores=ReportSection("scores", "Scores", (ReportTable("b", "Board", "", TABLE1),)),
    )
    return dataclasses.replace(given, **changes)


class Page(HTMLParser):
    """Elements with their attributes, texts by element, and the cells of each table by id."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        for tag in self.open:
            self.text[tag] = self.text.get(tag, "") + data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_markup_in_data_stays_text_wherever_it_stands():
    hostile_table = pd.DataFrame({HOSTILE: [HOSTILE, "b"], "finding": [HOSTILE, "c"]})
    page = Page(
        render_report(
            content(
                title=HOSTILE,
                banner=HOSTILE,
                statement=(HOSTILE,),
                verdicts=(HOSTILE,),
                facts={HOSTILE: HOSTILE},
                sections=(
                    ReportSection(
                        "s",
                        HOSTILE,
                        (
                            ReportTable("t", HOSTILE, HOSTILE, hostile_table, HOSTILE),
                            ReportFigure("f", HOSTILE, HOSTILE, Picture(HOSTILE, png())),
                        ),
                    ),
                ),
                claims=pd.DataFrame([claim(claim=HOSTILE, paper=HOSTILE, metric=HOSTILE)]),
                browser=browser(image=HOSTILE, finding=HOSTILE, notes={"iba": (HOSTILE,)}),
            )
        )
    )
    data, script = page.all("script")
    assert data == {"type": "application/json", "id": "browser-data"}
    assert script == {}
    (film,) = json.loads(page.text["script"].split("\n")[0])
    assert film["finding"] == film["image"] == HOSTILE
    assert film["maps"]["iba"]["note"].endswith(HOSTILE)
    assert page.text["title"] == f"[{HOSTILE}] {HOSTILE}"
    assert [HOSTILE, HOSTILE] in [[cell.strip() for cell in row] for row in page.rows]
    assert page.all("img")[0]["alt"] == HOSTILE


def test_nothing_is_loaded_from_outside_the_file():
    html = render_report(content(browser=browser()))
    page = Page(html)
    loads = [a[k] for _, a in page.elements for k in ("src", "srcset", "data", "poster") if k in a]
    loads += [attributes["href"] for attributes in page.all("link")]
    assert loads
    assert all(load.startswith("data:") for load in loads)
    assert "http:" not in html
    assert "https:" not in html
    assert not re.search(r"@import|@font-face|url\(|fetch\(|XMLHttpRequest|\bimport\b", html)
    policy = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy[0].startswith("default-src 'none'")


def test_every_picture_is_embedded_whole_with_words_and_size():
    picture = png(7, 5)
    figures = (
        ReportFigure("f", "F", "", Picture("one", picture)),
        ReportFigure("g", "G", "", Picture("two", png())),
    )
    page = Page(render_report(content(sections=(ReportSection("s", "S", figures),))))
    images = page.all("img")
    assert [image["alt"] for image in images] == ["one", "two"]
    assert base64.b64decode(images[0]["src"].removeprefix("data:image/png;base64,")) == picture
    assert (images[0]["width"], images[0]["height"]) == ("7", "5")


def test_the_same_content_gives_the_same_bytes():
    assert render_report(content()) == render_report(content())


def test_the_banner_is_in_the_title_and_first_on_the_page():
    html = render_report(content(banner="partial sample"))
    assert Page(html).text["title"] == "[partial sample] A run"
    first = re.sub(r"<[^>]+>", "", html.split("<body>")[1]).split("\n")
    line = next(line for line in first if line.strip())
    assert line.strip() == "partial sample What was run."


def test_without_a_banner_none_is_shown():
    page = Page(render_report(content(banner=None)))
    assert page.text["title"] == "A run"
    assert "kind" in [a.get("class") for a in page.all("details")]


def test_the_table_shows_all_rows_the_papers_value_and_n_a():
    page = Page(render_report(content(claims=None, scores=None)))
    assert [[cell.split("\n")[0] for cell in row] for row in page.rows] == [
        ["method", "paper", "IoU [interval]"],
        ["Gradients gradient", "0.114", "0.200 [0.180, 0.220]"],
        ["IBA iba", "0.114", "0.300 [0.280, 0.320]"],
        ["Whole image whole_image baseline", "n/a", "0.070 [0.060, 0.080]"],
        ["Class prior class_prior baseline", "n/a", "0.220 [0.200, 0.240]"],
    ]
    links = [a["href"] for a in Page(render_report(content())).all("a")]
    assert "tables/table1.csv" in links


def test_the_contents_lead_to_every_chapter_and_no_link_is_dead():
    page = Page(render_report(content()))
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    chapters = {a["id"] for _, a in page.elements if a.get("class") == "chapter"}
    targets = {a["href"][1:] for a in page.all("a") if a["href"].startswith("#")}
    assert targets == chapters
    assert targets <= ids
    assert "localization" in chapters


def test_elements_nest_and_ids_are_unique():
    page = Page(render_report(content()))
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_folded_chapter_and_a_figure_without_a_picture_keep_their_words():
    figure = ReportFigure("f", "Fig. 1", "Left out.", None, "figures/f.pdf")
    section = ReportSection("s", "Deviations", (figure,), folded=True)
    page = Page(render_report(content(sections=(section,))))
    assert not page.all("img")
    assert "Left out." in page.text["figure"]
    assert [a for a in page.all("details") if a.get("id") == "f"] == [{"class": "block", "id": "f"}]
    assert "figures/f.pdf" in [a["href"] for a in page.all("a")]


def test_without_films_there_is_no_browser():
    html = render_report(content(browser=None))
    assert 'id="browser"' not in html
    assert 'id="browser"' in render_report(content(browser=browser()))


@pytest.mark.parametrize("name", ["scores", "browser-film", "Two Words", "top", "theme", "", 'a"b'])
def test_an_id_that_is_taken_or_unfit_for_a_link_is_refused(name):
    with pytest.raises(ValueError, match="report id"):
        render_report(content(sections=(ReportSection(name, "S", ()),)))


def test_problems_are_counted_by_kind_and_none_is_lost():
    problems = pd.DataFrame(
        {
            "file": ["c", "b", "d", "e", "f"],
            "field": ["image", "image", "Bbox", "pixels", "pixels"],
            "reason": ["absent", "absent", "outside", "truncated", "no image"],
        }
    )
    whole = summarise_problems(problems, groups=10)
    assert whole["files"].tolist() == [2, 1, 1, 1]
    assert whole.iloc[0].to_dict() == {
        "field": "image", "reason": "absent", "files": 2, "example": "b",
    }  # fmt: skip
    short = summarise_problems(problems, groups=2)
    assert short["files"].sum() == 5
    assert short["reason"].tolist()[-1] == "2 further kinds"
    assert len(summarise_problems(problems.head(0), groups=2)) == 0


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.28, 0.32, "lies above"), (0.23, 0.4, "not told apart"), (0.1, 0.15, "lies below")],
)
def test_the_verdict_compares_the_best_method_with_the_best_baseline(low, high, words):
    table = TABLE1.assign(ci_low=[0.0, low, 0.06, 0.2], ci_high=[0.1, high, 0.08, 0.24])
    verdict = table1_verdict(table)
    assert words in verdict
    assert f"IBA (0.300 [{low:.3f}, {high:.3f}])" in verdict
    assert "Class prior (0.220 [0.200, 0.240])" in verdict


@pytest.mark.parametrize("methods", [["iba"], ["random"], []])
def test_without_both_a_method_and_a_baseline_there_is_no_verdict(methods):
    table = TABLE1[TABLE1["method"].isin(methods)]
    assert "no method with a baseline" in table1_verdict(table)


def test_the_shortcut_verdict_names_every_class_that_is_given_away_and_by_what():
    table = pd.DataFrame(
        {
            "class": ["Mass", "Cardiomegaly", "Cardiomegaly"],
            "features": ["histogram32", "histogram32", "thumbnail8x8"],
            "auc": [0.55, 0.71, 0.89],
            "exceeds": [False, True, True],
        }
    )
    text = shortcuts_verdict(table)
    assert text.endswith(
        "Cardiomegaly (thumbnail8x8, AUC 0.89); Cardiomegaly (histogram32, AUC 0.71)."
    )
    assert "no class" in shortcuts_verdict(table.head(1))


def test_claims_stand_first_each_with_its_verdict_and_numbers_or_reason():
    page = Page(render_report(content()))
    decided, open_ = ([" ".join(cell.split()) for cell in row] for row in page.rows[1:3])
    assert decided[2:5] == [
        "✓ holds",
        "Multi-layer IBA 0.300 · IBA 0.200mean IoU: +0.100 [0.050, 0.150]",
        "0.189 against 0.114Table 1",
    ]
    assert decided[5].startswith("no better than where such findings usually are")
    assert open_[2] == "? undecidedwould need 120 patients, has 49"
    assert open_[3] == "Multi-layer IBA 0.300 · IBA 0.200mean IoU: +0.100 [0.050, 0.150]"
    assert "2 claims of the paper: 1 holds, 1 is undecided" in page.text["h2"]


def test_a_row_of_an_unmet_operating_point_bears_a_dagger_that_says_why():
    frame = pd.DataFrame({"method": ["iba", "lrp"], "iou": [0.1, 0.2], "unmet": [True, False]})
    section = ReportSection("s", "S", (ReportTable("t", "T", "", frame),))
    page = Page(render_report(content(sections=(section,), claims=None, scores=None)))
    rows = {row[0].split()[0]: row[0] for row in page.rows if row}
    assert "†" in rows["IBA"]
    assert "†" not in rows["LRP"]
    titles = [attributes.get("title") for attributes in page.all("span")]
    assert titles.count("the operating point does not meet its rule") == 1
