"""Letters and digits drawn by Debian's fonts: what stays together, and what kind of face it is.

A group is a package: all faces of one designer's family. Families that derive from one another are here once (Arimo
and Liberation, Carlito and Lato, TeX Gyre and URW's, FreeFont and URW's, Karmilla and Karla). Licences are free (mostly
OFL-1.1, GPL with font exception, Apache-2.0, Bitstream Vera); pictures of them are made anew and never committed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .packages import Packages

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
FACES = 4  # of one package and kind at most
# kind -> package -> files (a pattern for the stem; "": all)
KINDS: dict[str, dict[str, str]] = {
    "sans": {
        "3270": "", "adf-gillius": "", "adf-ikarius": "", "adf-solothurn": "", "adf-switzera": "",
        "adf-universalis": "",         "agave": "",
        "allerta": "medium", "anonymous-pro": "", "averia-sans-gwf": "", "b612": "", "beteckna": "",
        "cabin": "", "cantarell": "", "clear-sans": "", "comfortaa": "", "dejavu-core": "Sans", "dosis": "",
        "fantasque-sans": "", "firacode": "", "go": "^Go-[BIMR]", "hack": "", "hermit": "", "inconsolata": "",
        "inter": "", "jetbrains-mono": "", "junction": "", "jura": "", "karla": "", "lato": "", "league-mono": "",
        "league-spartan": "", "liberation": "Sans|Mono", "manrope": "", "mononoki": "", "monofur": "", "monoid": "",
        "national-park": "Heavy|Regular|Thin", "ocr-b": "", "okolaks": "", "open-sans": "", "opendin": "", "oxygen": "",
        "paratype": "^PT[SM]", "play": "", "quicksand": "", "roadgeek": "", "roboto-unhinted": "", "routed-gothic": "",
        "sil-andika": "", "sora": "", "tiresias": "tiresias_", "tuffy": "", "urw-base35": "^NimbusSans",
        "yanone-kaffeesatz": "",
    },
    "serif": {
        "adf-accanthis": "", "adf-baskervald": "", "adf-berenis": "", "adf-libris": "",
        "adf-romande": "^RomandeADF(No2)?Std",
        "adf-tribun": "", "averia-serif-gwf": "", "cardo": "", "century-catalogue": "", "cmu": "^cmunr|^cmunb",
        "courier-prime": "Courier", "crosextra-caladea": "", "dejavu-core": "Serif", "ebgaramond": "", "essays1743": "",
        "fanwood": "", "goudybookletter": "", "junicode": "", "levien-museum": "", "liberation": "Serif",
        "lindenhill": "", "linuxlibertine": "Libertine", "oldstandard": "", "paratype": "^PTF", "prociono": "",
        "quattrocento": "", "roboto-slab": "", "sil-charis": "", "sil-gentiumplus": "", "stix": "^STIX-",
        "urw-base35": "^C059|^NimbusRoman|^P052|^URWBookman", "vollkorn": "", "yrsa-rasa": "^Yrsa",
    },
    "hand": {
        "breip": "", "comic-neue": "", "dancingscript": "", "dkg-handwriting": "",
        "dustin": "Manners|^Wiki|Perspective",
        "ecolier-court": "", "femkeklaver": "", "humor-sans": "", "isabella": "", "joscelyn": "", "kaushanscript": "",
        "kristi": "", "leckerli-one": "", "lobster": "", "lobstertwo": "", "rufscript": "", "sjfonts": "",
        "summersby": "", "tomsontalks": "", "urw-base35": "^Z003",
    },
    "display": {
        "adf-mekanus": "", "adf-oldania": "", "cabinsketch": "", "cherrybomb": "", "engadget": "",
        "georgewilliams": "Caliban|Cupola|Black", "gotico-antiqua": "", "havana": "",
        "levien-typoscript": "", "ocr-a": "",
        "opendyslexic": "", "radisnoir": "", "smiley-sans": "", "solide-mirage": "", "staypuft": "",
    },
}  # fmt: skip
PACKAGES = sorted({f"fonts-{name}" for packages in KINDS.values() for name in packages})


class Face(NamedTuple):
    """A font's file, its kind, and the package that it must stay together with."""

    path: Path
    kind: str
    package: str


def faces(packages: Packages, most: int = FACES) -> list[Face]:
    """At most ``most`` of each package and kind, spread evenly over its files by name."""
    root = packages.debian("fonts", *PACKAGES) / "usr/share/fonts"
    owners = {name: _files(root, name) for name in PACKAGES}
    found: list[Face] = []
    for kind, wanted in KINDS.items():
        for package, pattern in wanted.items():
            files = [path for path in owners[f"fonts-{package}"] if re.search(pattern, path.stem)]
            usable = [path for path in files if _draws_letters(path)]
            places = np.unique(np.linspace(0, len(usable) - 1, min(most, len(usable))).round().astype(int))
            found += [Face(usable[place], kind, package) for place in places]
    return found


def _files(root: Path, package: str) -> list[Path]:
    """Font files of a package: they lie in folders of many names, so the package's own list says which."""
    listed = root.parent.parent.parent / "lists" / f"{package}.txt"
    paths = [root.parent.parent.parent / line for line in listed.read_text(encoding="utf-8").splitlines()]
    unique = {path.stem: path for path in sorted(paths) if path.suffix in {".ttf", ".otf"} and not path.is_symlink()}
    return list(unique.values())


def _draws_letters(path: Path) -> bool:
    """All letters and digits are there, and capitals are not drawn for small letters."""
    try:
        font = ImageFont.truetype(path, 32)
        return bytes(font.getmask("a")) != bytes(font.getmask("A")) and not lacking(path, LETTERS + DIGITS)
    except OSError:
        return False


def lacking(path: Path, characters: str) -> set[str]:
    """Characters for which a font draws nothing, or its box for unknown ones."""
    font = ImageFont.truetype(path, 32)
    nothing = {b"", bytes(font.getmask("\uffff"))}
    return {character for character in characters if bytes(font.getmask(character)) in nothing}


def drawn(face: Face, characters: str, size: int) -> Iterator[np.ndarray]:
    """Black on white, (size, size) uint8 each; one scale for a face, the baseline at the same height."""
    font = ImageFont.truetype(face.path, size)
    left, top, right, bottom = font.getbbox("Hgpd0", anchor="ls")
    tall = max(-top, 1) + max(bottom, 1)
    wide = max(font.getbbox(c, anchor="ls")[2] - font.getbbox(c, anchor="ls")[0] for c in characters)
    font = ImageFont.truetype(face.path, max(4, round(0.9 * size * size / max(tall, wide))))
    left, top, right, bottom = font.getbbox("Hgpd0", anchor="ls")
    base = round((size - top - bottom) / 2)
    for character in characters:
        left, _, right, _ = font.getbbox(character, anchor="ls")
        picture = Image.new("L", (size, size), 255)
        ImageDraw.Draw(picture).text(((size - left - right) / 2, base), character, fill=0, font=font, anchor="ls")
        yield np.asarray(picture)
