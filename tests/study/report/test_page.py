"""The page: self-contained, well-formed, honest, and good to open at any width, in light and dark."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from noisymodel.errors import MissingExtraError
from noisymodel.study.analysis import correlate
from noisymodel.study.analysis.summary import summarize
from noisymodel.study.report.files import figures_by_folder
from noisymodel.study.report.page import render_page
from noisymodel.study.report.results import Results, bases, views
from noisymodel.study.rows import StudyRecord
from study.report.conftest import FIGURES
from study.report.synthetic_record import METHODS, REPORT_SHIFTS, TUNING_SHIFTS, joined, synthetic_record

VOID = {"meta", "link", "img", "source", "br"}


class Outline(HTMLParser):
    """Elements with their attributes, the text, and whether tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag, f"</{tag}> closes another element at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def rendered(record: StudyRecord) -> str:
    """The page without figures, which take long to draw."""
    summary = summarize(record.table, record.shifts)
    return render_page(record, [Results(record, summary, view) for view in views(summary)], {}, {})


@pytest.fixture(scope="module")
def html(written) -> str:
    return (written.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def outline(html: str) -> Outline:
    return Outline(html)


def words(html: str) -> str:
    return " ".join(Outline(html).text.split())


def test_tags_are_balanced(outline: Outline) -> None:
    assert outline.stack == []


def test_nothing_comes_from_outside(html: str, outline: Outline) -> None:
    for tag, attributes in outline.elements:
        for name in ("src", "srcset", "href", "action", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), f"<{tag} {name}={value[:60]!r}>"
        assert tag not in {"iframe", "object", "embed", "base", "form"}
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert [script.get("type") for script in outline.all("script")] == ["application/json", None]
    script = html[html.rindex("<script>") + len("<script>") : html.rindex("</script>")]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(meta["content"] for meta in outline.all("meta") if meta.get("http-equiv"))
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|WebSocket|innerHTML|\beval\(", script)


def test_ids_are_unique_and_anchors_resolve(outline: Outline) -> None:
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [link["href"] for link in outline.all("a")]
    targets += [
        f"#{attributes['aria-labelledby']}" for _, attributes in outline.elements if "aria-labelledby" in attributes
    ]
    assert len(targets) > 10
    assert all(target and target.removeprefix("#") in ids for target in targets)


def test_semantics(outline: Outline) -> None:
    assert outline.all("html")[0]["lang"] == "en"
    assert len(outline.all("title")) == len(outline.all("h1")) == len(outline.all("main")) == 1
    assert len(outline.all("img")) == len(outline.all("figcaption")) == len(outline.all("figure")) == len(FIGURES)
    assert all(image["alt"] and len(image["alt"]) > 40 for image in outline.all("img"))
    assert len(outline.all("caption")) == len([t for t in outline.all("table") if t.get("class") != "evidence"])
    assert all(heading.get("scope") for heading in outline.all("th"))
    assert any(meta.get("name") == "viewport" for meta in outline.all("meta"))


def test_order_of_the_sections(outline: Outline) -> None:
    headings = [attributes["id"] for attributes in outline.all("h2")]
    assert headings == [
        "verdict", "explore", "tables", "figures", "analysis", "not-here", "methods", "data", "intervals", "repeat",
    ]  # fmt: skip


def test_styles_for_dark_and_print(html: str) -> None:
    assert "@media (prefers-color-scheme: dark)" in html
    assert "@media print" in html


def test_content(html: str, written) -> None:
    text = words(html)
    record = written.record
    for part in (
        record.data_description, record.command, record.finished, *record.remarks, *record.versions.values(),
        *(note.description for note in METHODS), *(note.label for note in METHODS),
        "Does slight label noise in pre-training (5 %) help in-domain? ✓ holds Yes, it helps: +",
        "Student's t-interval", "The 24 headline comparisons", "Holm", "Nothing else is corrected",
        "Seeds: 7000, 7001, 7002.", "3.1 minutes", '"rates": [',
    ):  # fmt: skip
        assert " ".join(part.replace("\u00a0", " ").split()) in text.replace("\u00a0", " "), part


def test_tuning_shifts_are_said_to_be_apart(html: str) -> None:
    text = words(html)
    assert f"chosen on the tuning shifts alone ({', '.join(TUNING_SHIFTS[:-1])} and {TUNING_SHIFTS[-1]})" in text
    assert f"is of the reported shifts ({', '.join(REPORT_SHIFTS[:-1])} and {REPORT_SHIFTS[-1]})" in text
    assert "No shift is both." in text


def test_text_is_escaped(html: str) -> None:
    assert "gain &lt;here&gt; &amp; elsewhere" in html
    record = dataclasses.replace(synthetic_record(seeds=(1, 2), rates=(0.0, 0.1)), data_title="<b>bold</b>")
    assert "<b>" not in rendered(record)


def test_what_is_not_significant_is_marked() -> None:
    html = rendered(synthetic_record(seeds=(1, 2, 3), id_change=0.0, spread=0.05))
    assert re.search(r'<td class="unclear">[^<]+&nbsp;<small>n\.s\.</small></td>', html)
    assert "No significant difference" in words(html)


def test_one_seed_has_a_page() -> None:
    html = rendered(synthetic_record(seeds=(5,)))
    text = words(html)
    assert "The study ran one seed: it has no intervals" in text
    assert "It cannot be told from one seed" in text
    assert "± 95" not in text
    assert "headline comparisons" not in text
    assert 'class="gain"' not in html
    assert 'class="loss"' not in html
    assert Outline(html).stack == []


@pytest.mark.parametrize("directions", [{"rates": (0.0,)}, {"rates": (0.1,)}, {"methods": ("nmtune_tuned",)}])
def test_little_studies_have_a_page(directions: dict[str, object]) -> None:
    assert Outline(rendered(synthetic_record(seeds=(1, 2), **directions))).stack == []


def test_a_study_without_comparison_says_so() -> None:
    assert "Nothing was compared" in words(rendered(synthetic_record(seeds=(1, 2), rates=(0.0,))))


def test_several_experiments_have_ids_of_their_own() -> None:
    html = rendered(synthetic_record(seeds=(1, 2), shots=(10, 40), rates=(0.0, 0.1), methods=("mlp", "nmtune_tuned")))
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert {"table-accuracy-id", "table-accuracy-id-2"} <= set(ids)
    text = words(html)
    assert text.index("symmetric noise, 40 labels per class") < text.index("symmetric noise, 10 labels per class")


def test_without_jinja2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    message = r"`jinja2` is needed for the study's page: pip install 'noisymodel\[study\]'"
    with pytest.raises(MissingExtraError, match=message):
        rendered(synthetic_record(seeds=(1,), rates=(0.0,)))


@pytest.fixture(scope="module")
def several() -> StudyRecord:
    """Two groups with all that a page can hold, under names that would break it."""
    directions = {
        "seeds": (1, 2, 3, 4), "rates": (0.0, 0.1, 0.3), "shifts": ("salt", "thin"), "drift": True, "curves": True,
        "methods": ("linear_probe", "mlp", "nmtune_tuned"), "spread": 0.002,
    }  # fmt: skip
    record = joined(
        synthetic_record(ablations={"</script><b>x": -0.02}, **directions),
        synthetic_record(ablations={"</script><b>x": -0.02}, objective="contrastive", generator_seed=2, **directions),
    )
    return dataclasses.replace(record, failures=("supervised mlp, seed 9, mlp: ValueError: <i>no</i>",))


def several_results(record: StudyRecord) -> list[Results]:
    summary = summarize(record.table, record.shifts, bases(record.methods))
    return [Results(record, summary, view, correlate(record.table, resamples=20)) for view in views(summary)]


def test_several_groups_have_one_page(several: StudyRecord) -> None:
    html = render_page(several, several_results(several), {}, {})
    outline = Outline(html)
    assert outline.stack == []
    slugs = ["glyphs-supervised-mlp-symmetric-40", "glyphs-contrastive-mlp-symmetric-40"]
    headings = [attributes["id"] for attributes in outline.all("h2")]
    assert headings == ["failed", "overview", "explore", *slugs, "not-here", "methods", "data", "intervals", "repeat"]
    ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [link["href"].removeprefix("#") for link in outline.all("a")]
    assert set(links) <= set(ids)
    text = words(html)
    assert "Does noise in pre-training help or hurt" in text
    assert "All groups: changes, and the best NMTune minus the linear probe" in text
    assert "chosen in each column by that very mean and therefore flattered" in text
    assert "explains nothing by itself" in text
    assert "Ablation: paired differences, mean over the noisy rates" in text


def test_names_of_a_configuration_are_escaped(several: StudyRecord) -> None:
    html = render_page(several, several_results(several), {}, {})
    assert "<b>" not in html
    assert "<i>" not in html
    assert html.count("</script>") == 2
    start = html.index('id="explorer-data">') + len('id="explorer-data">')
    groups = json.loads(html[start : html.index("</script>", start)])
    assert groups[0]["methods"][-1]["name"] == "</script><b>x"
    assert [group["noise"] for group in groups] == ["label noise", "caption noise"]


def test_what_failed_is_listed(several: StudyRecord) -> None:
    text = words(render_page(several, several_results(several), {}, {}))
    assert "1 part of the study failed" in text
    assert "supervised mlp, seed 9, mlp: ValueError: <i>no</i>" in text
    assert "failed" not in words(rendered(synthetic_record(seeds=(1,), rates=(0.0,), methods=("mlp",))))


def test_many_groups_have_figures_of_one_width_and_the_main_ones_alone() -> None:
    records = [
        synthetic_record(seeds=(1, 2), rates=(0.0, 0.1), shifts=("salt",), methods=("mlp",), data=f"glyphs/{name}")
        for name in "abcd"
    ]
    record = joined(*records)
    groups = several_results(record)
    figures = figures_by_folder(groups)
    assert [figure.name for figure in figures[f"{groups[0].slug}/"]] == ["accuracy"]
    assert [figure.name for figure in figures[""]] == ["groups"]
    figures = {groups[0].slug + "/": figures[f"{groups[0].slug}/"], "": figures[""]}
    files = {f"figures/{folder}{figure.name}.svg": b"<svg/>" for folder in figures for figure in figures[folder]}
    outline = Outline(render_page(record, groups, figures, files))
    assert len(outline.all("img")) == 2
    assert len(outline.all("source")) == 1  # of the figure over all groups


def missing(what: str) -> None:
    """Skip for want of ``what``; fail where a browser is required."""
    if os.environ.get("NOISYMODEL_REQUIRE_BROWSER") == "1":
        pytest.fail(f"NOISYMODEL_REQUIRE_BROWSER=1, but {what}")
    pytest.skip(what)


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium, kept from calling home."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        missing("there is no Chromium")
    quiet = "disable-gpu disable-quic no-first-run disable-background-networking disable-component-update disable-sync"
    arguments = ["--no-sandbox", *(f"--{name}" for name in quiet.split())]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_in_a_browser(chromium, written, width: int, height: int, scheme: str) -> None:
    context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    try:
        page = context.new_page()
        complaints: list[str] = []
        requests: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url[:80]}"))
        page.on("request", lambda request: requests.append(request.url))
        address = Path(written.folder / "report.html").resolve().as_uri()
        page.goto(address)
        page.locator("details summary").first.click()
        images = page.evaluate(
            "[...document.images].map(i => ({natural: i.naturalWidth, shown: i.getBoundingClientRect().width,"
            " tall: i.getBoundingClientRect().height, source: i.currentSrc}))"
        )
        overflow = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        narrow_sources = page.evaluate("[...document.querySelectorAll('source')].map(s => s.srcset)")
    finally:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [address]
    assert overflow <= 0
    assert len(images) == len(FIGURES)
    assert all(image["natural"] > 0 and image["shown"] > 0.8 * min(width, 1056) for image in images)
    assert all(image["tall"] > 100 for image in images)
    assert [image["source"] in narrow_sources for image in images] == [width < 640] * len(FIGURES)
    light = sum(map(int, re.findall(r"\d+", ground)[:3])) > 384
    assert light == (scheme == "light")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1440, 390])
def test_choosers_in_a_browser(chromium, several: StudyRecord, tmp_path: Path, width: int) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(several, several_results(several), {}, {}), encoding="utf-8")
    context = chromium.new_context(viewport={"width": width, "height": 900})
    try:
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.resolve().as_uri())
        points = page.locator("#explorer .point")
        assert points.count() == 3 * 3
        first = points.first.get_attribute("aria-label")
        assert re.fullmatch(r"Linear probe, 0 % noise: [\d.]+ \[[\d.]+, [\d.]+\] %", first or "")

        points.first.focus()
        assert page.locator(".tip").inner_text() == first
        page.locator("#choose-set").select_option("shift:thin")
        assert points.first.get_attribute("aria-label") != first
        page.locator("#choose-quantity").select_option("change")
        assert points.count() == 3 * 2
        assert "points" in (points.first.get_attribute("aria-label") or "")
        page.locator("#explorer input").first.uncheck()
        assert points.count() == 2 * 2
        page.locator("#explorer input").last.check()
        assert points.count() == 3 * 2
        page.locator("#choose-group").select_option("1")
        assert "caption noise" in page.locator("#explorer svg[role=group]").text_content()

        assert page.locator(".group-section:visible").count() == 2
        page.locator("#group-choice").select_option("glyphs-contrastive-mlp-symmetric-40")
        assert page.locator(".group-section:visible").count() == 1
        for summary in page.locator("details summary:visible").all():
            summary.click()
        assert page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth") <= 0
    finally:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [path.resolve().as_uri()]


@pytest.mark.browser
def test_without_javascript_the_page_is_complete(chromium, several: StudyRecord, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_page(several, several_results(several), {}, {}), encoding="utf-8")
    context = chromium.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(path.resolve().as_uri())
        assert page.locator(".group-section:visible").count() == 2
        assert page.locator("h2:visible").count() == 9
        assert not page.locator("#explore").is_visible()
        assert not page.locator("#group-choice").is_visible()
    finally:
        context.close()
