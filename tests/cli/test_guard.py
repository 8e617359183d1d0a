"""The guard of all commands: one line on stderr, the right exit code, nothing half-written."""

from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from noisymodel import cli, errors
from noisymodel.cli.checking import check_output_file, classifier_folder, device_name, existing, make_output_folder
from noisymodel.cli.guard import guarded

posix = pytest.mark.skipif(sys.platform == "win32", reason="no such files and signals")


@pytest.fixture
def features(tmp_path: Path) -> Path:
    np.save(tmp_path / "features.npy", np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32))
    (tmp_path / "labels.csv").write_text("label\n" + "a\nb\n" * 20)
    return tmp_path / "features.npy"


def raising(error: BaseException) -> Callable[[], int]:
    def run() -> int:
        raise error

    return run


def test_every_error_is_one_line_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    cases = [
        (errors.ConfigError("`rate` is wrong"), 2, "`rate` is wrong"),
        (errors.InputFileError("a.csv is damaged"), 2, "a.csv is damaged"),
        (errors.MissingExtraError("ray", extra="ray", purpose="it"), 2, "`ray` is needed for it"),
        (errors.OutputFolderError("out exists"), 2, "out exists"),
        (FileNotFoundError(errno.ENOENT, "No such file", "gone.npy"), 2, "there is no file gone.npy"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "file"), 2, "file: Not a directory"),
        (PermissionError(errno.EACCES, "Permission denied", "locked"), 2, "locked: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device", "big"), 1, "big: No space left on device"),
        (errors.StudyError("a cell failed"), 1, "a cell failed"),
        (errors.EmbeddingError("the endpoint is down"), 1, "the endpoint is down"),
        (MemoryError(), 1, "the memory does not suffice"),
        (RuntimeError("CUDA error: no kernel image\nCompile with TORCH_USE_CUDA_DSA"), 1, "RuntimeError: CUDA error"),
        (KeyboardInterrupt(), 130, "stopped"),
    ]
    for error, code, message in cases:
        assert guarded(raising(error)) == code, error
        said = capsys.readouterr().err
        assert said.startswith(f"noisymodel: {message}"), said
        assert "Traceback" not in said


def test_an_unexpected_error_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISYMODEL_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError, match="of a test"):
        guarded(raising(ZeroDivisionError("of a test")))


@posix
def test_ctrl_c_that_an_import_turns_into_another_error_is_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    def run() -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except KeyboardInterrupt:
            raise ImportError("numpy's C-extensions failed") from None
        return 0

    assert guarded(run) == 130
    assert capsys.readouterr().err == "noisymodel: stopped\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_narrow_terminal_gets_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding in ("cp1252", "ascii"):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))

        def run() -> int:
            print("σ₁ − 0.5, 95 %")
            return 0

        assert guarded(run) == 0
        assert raw.getvalue().strip().endswith(b"0.5, 95 %")


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_cannot_be_written(features: Path) -> None:
    """A full disk, a closed descriptor: in new interpreters, since it is what happens when they end."""
    (features.parent / "brief.py").write_text(
        "import sys\nfrom noisymodel.cli.guard import guarded\nsys.exit(guarded(lambda: print('found') or 0))\n"
    )
    work, brief = f"{sys.executable} -m noisymodel analyze {features} --metrics entropy", f"{sys.executable} -m brief"
    full = "noisymodel: the standard output cannot be written: No space left on device"
    for command, code, message in [
        (f"env -u PYTHONUNBUFFERED {work} >/dev/full", 1, full),
        (f"env -u PYTHONUNBUFFERED {brief} >/dev/full", 1, full),
        (f"PYTHONUNBUFFERED=1 {brief} >/dev/full", 1, full),
        (f"{brief} >&-", 1, "standard output is closed: give it a file or /dev/null"),
        (f"{brief} 2>&- >/dev/null", 0, ""),
    ]:
        done = subprocess.run(["sh", "-c", command], cwd=features.parent, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == bool(message), done.stderr


def test_missing_files_are_named_in_every_command(features: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = features.parent
    typo, out = str(folder / "featurs.npy"), str(folder / "out")
    for command in (
        ["tune", typo, "--out", out],
        ["tune", str(features), "--labels", str(folder / "label.csv"), "--out", out],
        ["predict", str(folder), typo, "--out", out],
        ["extract", "hf:nothing", typo, "--out", out],
        ["noise", typo, "--kind", "symmetric", "--rate", "0.1", "--seed", "0", "--out", out],
        ["noise", "--verify", typo],
        ["analyze", typo, "--out", out],
    ):
        assert cli.main(command) == 2, command
        said = capsys.readouterr().err
        assert "there is no file " in said, said
        assert len(said.splitlines()) == 1
        assert not Path(out).exists(), "an empty folder stays"
    assert cli.main(["tune", typo, "--out", out]) == 2
    assert f"did you mean {features}?" in capsys.readouterr().err


def test_what_is_no_folder_is_said_before_the_work(features: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = str(features.parent / "labels.csv")
    for command in (["tune", str(features), "--labels", labels], ["analyze", str(features), "--no-figures"]):
        assert cli.main([*command, "--out", str(features / "inside")]) == 2
        said = capsys.readouterr().err
        assert str(features) in said
        assert len(said.splitlines()) == 1
    assert (
        cli.main(["tune", str(features), "--labels", labels, "--device", "gpu", "--out", str(features.parent / "o")])
        == 2
    )
    assert "--device must be one of cpu" in capsys.readouterr().err


def test_paths_and_devices(tmp_path: Path) -> None:
    (tmp_path / "t1" / "model").mkdir(parents=True)
    (tmp_path / "t1" / "model" / "classifier.json").write_text("{}")
    assert classifier_folder(tmp_path / "t1" / "model") == tmp_path / "t1" / "model"
    with pytest.raises(errors.InputFileError, match=r"did you mean .*t1.model\?"):
        classifier_folder(tmp_path / "t1")
    with pytest.raises(errors.InputFileError, match=r"there is no file .*x, nor a folder"):
        existing(tmp_path / "no" / "x")
    assert make_output_folder(tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    with pytest.raises(errors.OutputFolderError, match=r"must be a file, and .* is a folder"):
        check_output_file(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.OutputFolderError, match="exists: name another --out, or replace it with --force"):
        check_output_file(tmp_path / "file")
    assert check_output_file(tmp_path / "file", force=True) == tmp_path / "file"
    with pytest.raises(errors.OutputFolderError, match=r"needs the folder .*, and .*file is a file"):
        make_output_folder(tmp_path / "file" / "deeper")
    assert device_name("cpu") == "cpu"
    assert device_name(None) is None
    with pytest.raises(errors.ConfigError, match=r"--device must be one of cpu.* here, got 'cuda:99'"):
        device_name("cuda:99")


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(errors.OutputFolderError, match=r"--out cannot be written: .*Permission denied"):
        make_output_folder(tmp_path / "new")
    tmp_path.chmod(0o700)


@posix
def test_ctrl_c_while_importing(tmp_path: Path) -> None:
    """The signal comes at different moments of the start; each ends with one line and 130."""
    command = [sys.executable, "-m", "noisymodel", "tune", "a.npy", "--out", str(tmp_path / "out")]
    for wait in (0.4, 0.8, 1.2, 1.6):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as running:
            time.sleep(wait)
            running.send_signal(signal.SIGINT)
            _, said = running.communicate(timeout=60)
        assert "Traceback" not in said, said
        assert running.returncode in (130, 2), said  # 2: it was faster, and there is no such file
        assert len(said.splitlines()) == 1


@posix
def test_ctrl_c_while_a_data_class_is_made_ends_with_130(tmp_path: Path) -> None:
    """Python marks a Ctrl-C within ``exec(text)``; ``python -m`` would end by the signal although it was caught."""
    text = "raise KeyboardInterrupt"
    program = f"import sys; from noisymodel.cli.guard import guarded; sys.exit(guarded(lambda: exec({text!r})))\n"
    (tmp_path / "stopped.py").write_text(program)
    command = [sys.executable, "-m", "stopped"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "noisymodel: stopped\n")


@posix
def test_ctrl_c_in_an_import_in_the_middle_of_the_work_waits_for_the_import(tmp_path: Path) -> None:
    (tmp_path / "lazy.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\nprint('imported')\n")
    (tmp_path / "command.py").write_text(
        "import sys, time\n"
        "from noisymodel.cli.guard import guarded\n"
        "from noisymodel.errors import import_extra\n"
        "def work():\n"
        "    import_extra('lazy', extra='hf', purpose='a test')\n"
        "    time.sleep(600)\n"
        "sys.exit(guarded(work))\n"
    )
    command = [sys.executable, "command.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "imported\n", "noisymodel: stopped\n")
