"""What an analysis leaves: JSON, singular values, figures and a page that loads nothing from elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.numpy import load_file

from noisymodel.errors import MissingExtraError, OutputFolderError
from noisymodel.spectrum_files import FilesAnalysis, analyze_files, write_report
from noisymodel.spectrum_files.figures import draw
from noisymodel.spectrum_files.finding import finding
from noisymodel.spectrum_files.report import check_folder
from spectrum_files.conftest import features
from study.report.test_page import Outline

pytest.importorskip("matplotlib")


def analysed(folder: Path, names: tuple[str, ...], **options: object) -> FilesAnalysis:
    base = features(300, width=12)
    files = {}
    for number, name in enumerate(names):
        np.save(folder / f"{number}.npy", (base + number * features(300, width=12, seed=number)).astype(np.float16))
        files[name] = folder / f"{number}.npy"
    return analyze_files(files, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def rates(tmp_path_factory: pytest.TempPathFactory) -> tuple[FilesAnalysis, Path]:
    folder = tmp_path_factory.mktemp("rates")
    found = analysed(folder, ("0", "0.1", "0.3"), baseline="0", intervals=4, preset="official")
    write_report(found, folder / "out", command="noisymodel analyze <files>")
    return found, folder / "out"


def test_all_files(rates: tuple[FilesAnalysis, Path]) -> None:
    found, out = rates
    figures = ("angles", "energy", "entropy", "largest-ratio", "scree")
    assert sorted(path.name for path in (out / "figures").iterdir()) == [
        f"{name}.{ending}" for name in figures for ending in ("png", "svg")
    ]
    for name in figures:
        assert (out / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        ElementTree.parse(out / "figures" / f"{name}.svg")  # noqa: S314 - our own file
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(found.to_dict()))
    values = load_file(out / "spectra.safetensors")
    np.testing.assert_array_equal(values["0.1"], found["0.1"].spectrum.singular_values)
    assert sorted(path.name for path in out.iterdir()) == [
        "figures", "report.html", "results.json", "spectra.safetensors",
    ]  # fmt: skip


def test_the_page_is_whole_and_alone(rates: tuple[FilesAnalysis, Path]) -> None:
    found, out = rates
    html = (out / "report.html").read_text(encoding="utf-8")
    outline = Outline(html)
    assert outline.stack == []
    for tag, attributes in outline.elements:
        for name in ("src", "srcset", "href", "action", "poster", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), f"<{tag} {name}={value[:60]!r}>"
        assert tag not in {"script", "iframe", "object", "embed", "base", "form"}
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html
    assert len(outline.all("img")) == 5
    assert all(image["alt"] and len(image["alt"]) > 30 for image in outline.all("img"))
    text = " ".join(outline.text.split())
    interval = found["0.1"].intervals["entropy"]
    for part in (
        f"{interval.value:.3g}[{interval.low:.3g}, {interval.high:.3g}]", "noisymodel analyze <files>",
        "SVE (nats) against the noise rate", "0.1 is stored in float16", "preset official", "0 to 300",
    ):  # fmt: skip
        assert part in text, part


def test_the_page_begins_with_what_was_found_and_a_picture(rates: tuple[FilesAnalysis, Path]) -> None:
    found, out = rates
    html = (out / "report.html").read_text(encoding="utf-8")
    parts = ['<p class="finding">Compared with 0 (', "<figure>", "<h2>The numbers</h2>", "<table>"]
    places = [html.index(part) for part in parts]
    assert places == sorted(places)
    assert finding(found).startswith("Compared with 0 (effective rank ")
    ranks = {file.name: f"{file.spectrum.effective_rank:.3g}" for file in found.files}
    assert f"0.1 (effective rank {ranks['0.1']})" in finding(found)


def test_a_finding_is_about_differences_beyond_their_interval(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(400, 8))
    base = rows * [3, 1, 1, 1, 1, 1, 1, 1]
    variants = {"base": base, "same": base[::-1], "flat": rows, "narrow": rows * [9, 1, 1, 1, 1, 1, 1, 1]}
    for name, values in variants.items():
        np.save(tmp_path / f"{name}.npy", values)
    files = {name: tmp_path / f"{name}.npy" for name in variants}
    told = finding(analyze_files(files, baseline="base", intervals=20))
    words = re.sub(r" \(effective rank [\d.]+\)", "", told)
    assert words.startswith(
        "Compared with base, flat is flatter; narrow is more concentrated; same is not distinguishable. Label noise"
    )
    apart = finding(analyze_files(files))
    assert re.match(r"SVE lies between 1\.5\d* \(narrow\) and 2\.0\d* \(flat\); no file is the baseline\. Label", apart)
    alone = finding(analyze_files({"flat": tmp_path / "flat.npy"}))
    assert re.fullmatch(r"The features of flat use 7\.\d+ of 8 directions \(effective rank\)\.", alone)
    np.save(tmp_path / "zero.npy", np.zeros((9, 4)))
    assert "only zeros" in finding(analyze_files({"zero": tmp_path / "zero.npy"}))


def test_names_that_are_no_rates_are_points_and_one_file_has_no_comparison(tmp_path: Path) -> None:
    paths = write_report(analysed(tmp_path, ("a<b>", "c")), tmp_path / "out")
    assert [path.stem for path in paths if path.suffix == ".png"] == ["scree", "energy", "entropy", "largest-ratio"]
    html = (tmp_path / "out" / "report.html").read_text()
    assert "a&lt;b&gt;" in html
    assert "<b>" not in html
    alone = analysed(tmp_path, ("a",))
    with pytest.raises(OutputFolderError, match=r"results.json exists: name another --out, or replace it with --force"):
        write_report(alone, tmp_path / "out")
    write_report(alone, tmp_path / "out", force=True)
    assert sorted(path.stem for path in (tmp_path / "out" / "figures").glob("*.png")) == ["energy", "scree"]


def test_equal_analyses_give_equal_figures(tmp_path: Path) -> None:
    found = analysed(tmp_path, ("a",))
    assert draw(found) == draw(found)


def test_folders_that_must_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputFolderError, match="file is a file: name a folder for the results"):
        check_folder(tmp_path / "file")
    with pytest.raises(OutputFolderError, match="is one of the inputs: name another folder"):
        check_folder(tmp_path, inputs=(str(tmp_path),), force=True)


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = analysed(tmp_path, ("a",))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"`matplotlib` is needed for .*pip install 'noisymodel\[plot\]'"):
        write_report(found, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    write_report(found, tmp_path / "out", figures=False)
    assert not (tmp_path / "out" / "figures").exists()
    assert "<img" not in (tmp_path / "out" / "report.html").read_text()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match=r"`jinja2` is needed for the page of an analysis"):
        write_report(found, tmp_path / "other", figures=False)


@pytest.mark.browser
def test_in_a_browser(rates: tuple[FilesAnalysis, Path]) -> None:
    """No request, no complaint, nothing wider than the screen, light and dark."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    required = os.environ.get("NOISYMODEL_REQUIRE_BROWSER") == "1"
    if path is None and not required:
        pytest.skip("there is no Chromium")
    api = __import__("playwright.sync_api") if required else pytest.importorskip("playwright.sync_api")
    address = (rates[1] / "report.html").resolve().as_uri()
    with (api.sync_api if hasattr(api, "sync_api") else api).sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for width, scheme in ((390, "light"), (390, "dark"), (1440, "light"), (1440, "dark")):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            heard: list[str] = []
            page.on("console", lambda message, heard=heard: heard.append(message.text))
            page.on("request", lambda request, heard=heard: heard.append(request.url))
            page.goto(address)
            overflow = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
            shown = page.evaluate("[...document.images].map(i => i.naturalWidth && i.getBoundingClientRect().width)")
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            page.close()
            assert [url for url in heard if not url.startswith("data:")] == [address]
            assert overflow <= 0
            assert len(shown) == 5
            assert min(shown) > (300 if width == 390 else 400)
            assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 384) == (scheme == "light")
        browser.close()
