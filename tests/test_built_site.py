"""The built site, as a reader meets it: NOISYMODEL_SITE=FOLDER pytest tests/test_built_site.py, after Sphinx.

Every internal link and anchor leads somewhere, nothing is fetched from elsewhere, and every page is opened in headless
Chromium at 1440 and 390 pixels, light and dark: nothing is wider than the window, every picture is there, and text is
legible against what it stands on. ``.ci/run`` builds the site and calls this.
"""

from __future__ import annotations

import json
import os
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag

import pytest
import torch

if "NOISYMODEL_SITE" not in os.environ:
    pytest.skip("NOISYMODEL_SITE names no built site", allow_module_level=True)

SITE = Path(os.environ["NOISYMODEL_SITE"]).resolve()
PAGES = sorted(path for path in SITE.rglob("*.html") if "_static" not in path.parts)
GALLERIES = [path for folder in ("how_to", "gallery") for path in sorted((SITE / folder).glob("*.html"))]
CONTRAST = """() => {
  const luminance = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!colour.startsWith("rgba")) return colour;  // tints are passed over
    }
    return "rgb(255, 255, 255)";
  };
  const found = [];
  const text = ["p", "li", "td", "th", "h1", "h2"].map(name => "article " + name).join(", ");
  for (const element of document.querySelectorAll(text)) {
    if (!element.innerText.trim()) continue;
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(element.innerText.slice(0, 40));
  }
  return found;
}"""


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.pictures: list[dict[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.anchors |= {held[name] for name in ("id", "name") if name in held}
        if tag == "a" and "href" in held:
            self.links.append(held["href"])
        if tag in ("script", "img", "iframe", "source") and "src" in held:
            self.loaded.append(held["src"])
        if tag == "link" and held.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(held["href"])
        if tag == "img":
            self.pictures.append(held)


class Size(NamedTuple):
    width: int
    height: int


READ = {path: Page(path) for path in PAGES}


def test_there_is_a_site() -> None:
    assert SITE / "index.html" in PAGES
    assert len(GALLERIES) > 12


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(SITE)))
def test_links_and_anchors_lead_somewhere(path: Path) -> None:
    broken = []
    for link in READ[path].links:
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        target, anchor = urldefrag(link)
        file = (path.parent / unquote(target)).resolve() if target else path
        if not file.is_file() or (anchor and file in READ and unquote(anchor) not in READ[file].anchors):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(SITE)))
def test_nothing_is_loaded_from_elsewhere_and_all_of_it_is_there(path: Path) -> None:
    for link in READ[path].loaded:
        assert not link.startswith(("http:", "https:", "//")), link
        assert link.startswith("data:") or (path.parent / unquote(link.partition("?")[0])).is_file(), link


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(SITE)))
def test_pictures_say_what_they_show(path: Path) -> None:
    for picture in READ[path].pictures:
        assert picture.get("alt") or "_thumb" in picture["src"], picture["src"]  # the title stands under a thumbnail


@pytest.mark.parametrize("path", GALLERIES, ids=lambda path: path.stem)
def test_every_script_of_the_galleries_has_a_picture(path: Path) -> None:
    assert any("_images" in picture["src"] for picture in READ[path].pictures)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium, or a skip where there is none (a failure in continuous integration)."""
    from playwright.sync_api import sync_playwright

    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found and os.environ.get("NOISYMODEL_REQUIRE_BROWSER") != "1":
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found[0], args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


def test_the_first_hour_is_a_notebook_that_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file,) = SITE.glob("_downloads/*/plot_first_hour.ipynb")
    cells = [cell for cell in json.loads(file.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    code = ["".join(cell["source"]) for cell in cells]
    assert len(code) > 4
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict[str, object] = {"__name__": "__main__"}
    with torch.random.fork_rng():
        for cell in code:
            lines = "\n".join(line for line in cell.splitlines() if line[:1] != "%")
            exec(compile(lines, file.name, "exec"), names)  # noqa: S102 - running the notebook is the test


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [Size(1440, 900), Size(390, 844)], ids=lambda size: str(size.width))
def test_every_page_fits_its_window(browser, size: Size, scheme: str) -> None:
    context = browser.new_context(viewport=size._asdict(), color_scheme=scheme)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"{page.url}: {request.url} failed"))
    for path in PAGES:
        page.goto(path.as_uri(), wait_until="load")
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > size.width:
            wrong.append(f"{path.relative_to(SITE)} is {width} pixels wide")
        missing = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)")
        pale = page.evaluate(CONTRAST)
        wrong += [f"{path.relative_to(SITE)}: {what}" for what in [*missing, *pale]]
    context.close()
    assert not wrong, "\n".join(wrong)
