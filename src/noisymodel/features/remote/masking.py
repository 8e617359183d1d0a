"""Masking of secrets in texts: keys and passwords, and pieces of them, in every form in which a server repeats them."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote, urlsplit

_PIECE = 8  # a piece of a secret with so many characters must not be shown


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text on one line, with ``***`` for every piece of eight characters or more of a secret, in any case.

    A shorter secret is masked where it is a whole word. URL, HTML, JSON and base64 forms are masked too.

    >>> masked("bad key sk-very-sec... (sk%2Dvery%2Dsecret)", ["sk-very-secret"])
    'bad key ***... (***)'
    >>> masked("no key abc, abcd", ["abc"])
    'no key ***, abcd'
    """
    text = " ".join(text.split())
    for secret in sorted({form for one in secrets for form in _forms(one)}, key=len, reverse=True):
        if len(secret) < _PIECE:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text, flags=re.IGNORECASE)
        else:
            text = _without_pieces(text, secret.casefold())
    return text


def _without_pieces(text: str, secret: str) -> str:
    lowered = text.casefold()
    if len(lowered) != len(text):  # some letters become two
        lowered = text.lower() if len(text.lower()) == len(text) else text
    pieces = {secret[start : start + _PIECE] for start in range(len(secret) - _PIECE + 1)}
    shown: list[str] = []
    hidden = 0  # the end of the hidden part so far
    for place, letter in enumerate(text):
        if lowered[place : place + _PIECE] in pieces:
            if hidden <= place:
                shown.append("***")
            hidden = place + _PIECE
        if place >= hidden:
            shown.append(letter)
    return "".join(shown)


def _forms(secret: str) -> set[str]:
    if not secret:
        return set()
    content = secret.encode(errors="surrogatepass")
    every = "".join(f"%{byte:02X}" for byte in content)
    signs = "".join(letter if letter.isalnum() else f"%{ord(letter):02X}" for letter in secret if ord(letter) < 256)
    coded = [base64.b64encode(b" " * shift + content).decode().rstrip("=")[2 * shift :] for shift in range(3)]
    return {
        secret, unquote(secret), quote(secret, safe=""), quote_plus(secret), every, signs,
        html.escape(secret), json.dumps(secret)[1:-1], base64.urlsafe_b64encode(content).decode().rstrip("="), *coded,
    }  # fmt: skip


def secrets_of_address(url: str) -> list[str]:
    """The secrets in an address: user, password and values of the query."""
    parts = urlsplit(url)
    known = [parts.username or "", parts.password or "", parts.netloc.rpartition("@")[0]]
    return [one for one in (*known, *(pair.partition("=")[2] for pair in parts.query.split("&"))) if one]


def without_secrets(url: str) -> str:
    """The scheme, host and path of an address; user names, passwords and queries may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
