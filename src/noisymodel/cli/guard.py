"""One guard around every command: every error becomes one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TextIO

from ..errors import ConfigError, InputFileError, MissingExtraError, OutputFolderError
from ._parser import BAD_INPUT, FAILED, INTERRUPTED
from .checking import remove_empty_folders

_PIPE_CLOSED = 141  # a shell's exit code for a program ended by SIGPIPE
_DEBUG = "NOISYMODEL_TRACEBACK"
_BAD_PATHS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)


class _Ctrl:
    """Ends the command on Ctrl-C, and remembers it, because an interrupted import may raise any other error instead.

    An exception in the C++ code of a package during its import aborts the process. Therefore a command that is still
    importing ends at once, and during the work the handler waits for an import to finish.
    """

    pressed = False

    def __call__(self, _number: int, frame: FrameType | None) -> None:
        self.pressed = True
        stack = list(_stack(frame))
        if not any(code.co_filename.startswith("<frozen importlib") for code in stack):
            raise KeyboardInterrupt
        if _work_has_begun(stack):
            threading.Timer(0.05, _press_again).start()
            return
        remove_empty_folders()
        os._exit(_complain("stopped", INTERRUPTED))


def _press_again() -> None:
    """Ctrl-C for the main thread, also where it waits in a call of the system."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, signal.SIGINT)
    else:  # Windows
        _thread.interrupt_main()


def _stack(frame: FrameType | None) -> Iterator[CodeType]:
    while frame is not None:
        yield frame.f_code
        frame = frame.f_back


def _work_has_begun(stack: list[CodeType]) -> bool:
    """Whether a function of the library outside the command line is running."""
    commands = Path(__file__).parent
    paths = [Path(code.co_filename) for code in stack if code.co_name != "<module>"]
    return any(path.is_relative_to(commands.parent) and not path.is_relative_to(commands) for path in paths)


def guarded(run: Callable[[], int]) -> int:
    """Run a command and return its exit code: its own, 2 for bad input, 1 for other failures, 130 after Ctrl-C.

    If the reader of the output has closed it (``| head``), the command ends silently with 141. With
    ``NOISYMODEL_TRACEBACK=1`` in the environment an unexpected error is raised unchanged.
    """
    with _ctrl_c() as ctrl, _any_encoding(), _known_output():
        try:
            _open_closed_descriptors()
            try:
                code = run()
            finally:
                remove_empty_folders()
            return code or _flushed()
        except BrokenPipeError:
            _silence(sys.stdout)
            return _PIPE_CLOSED
        except KeyboardInterrupt:
            return _stopped()
        except Exception as error:
            if ctrl.pressed:
                return _stopped()
            return _failed(error)
        except BaseException:  # argparse has printed its message
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            raise


def say_loading(command: str) -> None:
    """Say that imports take a while, if standard error is a terminal."""
    if sys.stderr.isatty() and "torch" not in sys.modules:
        print(f"noisymodel {command}: loading PyTorch …", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _ctrl_c() -> Generator[_Ctrl]:
    ctrl = _Ctrl()
    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield ctrl
        return
    signal.signal(signal.SIGINT, ctrl)
    try:
        yield ctrl
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def _any_encoding() -> Generator[None]:
    """Print a question mark for a letter that the terminal's encoding lacks."""
    changed: list[tuple[Any, str | None]] = []
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            changed.append((stream, stream.errors))
            narrow = "utf" not in str(stream.encoding).lower()
            stream.reconfigure(errors="replace" if narrow else "backslashreplace")  # pyright: ignore[reportAttributeAccessIssue] # as checked
    try:
        yield
    finally:
        for stream, errors in changed:
            with contextlib.suppress(OSError, ValueError):
                stream.reconfigure(errors=errors)


class _OutputError(OSError):
    """The standard output cannot be written."""


class _Output:
    """The standard output, with its own type of error; without a buffer any ``print`` may raise it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._known():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._known():
            self._stream.flush()

    @contextlib.contextmanager
    def _known(self) -> Generator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _OutputError(error.errno, error.strerror or str(error)) from None


@contextlib.contextmanager
def _known_output() -> Generator[None]:
    stream: Any = sys.stdout
    sys.stdout = _Output(stream) if stream is not None else stream
    try:
        yield
    finally:
        if isinstance(sys.stdout, _Output):
            sys.stdout = stream


def _open_closed_descriptors() -> None:
    """Reopen closed standard streams, since another file with their number would get the output."""
    closed = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    if not closed:
        return
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115, PTH123
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123
    if "stdout" in closed:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        raise OSError(errno.EBADF, "standard output is closed: give it a file or /dev/null")


def _stopped() -> int:
    """Return 130; a new ``exec`` clears the mark of a Ctrl-C, by which ``python -m`` would end with the signal."""
    exec("")  # noqa: S102 # an empty text
    return _complain("stopped", INTERRUPTED)


def _failed(error: Exception) -> int:
    if os.environ.get(_DEBUG) == "1":
        raise error
    if isinstance(error, OSError) and not isinstance(error, MissingExtraError | OutputFolderError):
        return _failed_to_read_or_write(error)
    if isinstance(error, ConfigError | InputFileError | MissingExtraError | OutputFolderError):
        return _complain(str(error), BAD_INPUT)
    if type(error).__module__ == "noisymodel.errors":
        return _complain(str(error), FAILED)
    if isinstance(error, MemoryError):
        return _complain(f"the memory does not suffice ({error or 'none is left'})", FAILED)
    where = _place(error)
    return _complain(f"{type(error).__name__}: {error or 'no message'}{where}; {_DEBUG}=1 shows all", FAILED)


def _failed_to_read_or_write(error: OSError) -> int:
    if isinstance(error, _OutputError):
        return _no_output(error)
    if (code := _flushed()) != 0:
        return code
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes | Path)]
    if isinstance(error, FileNotFoundError) and names:
        return _complain(f"there is no file {names[0]}", BAD_INPUT)
    reason = error.strerror or str(error) or type(error).__name__
    bad = isinstance(error, _BAD_PATHS) or error.errno in (errno.ENAMETOOLONG, errno.ELOOP)
    return _complain(": ".join([*names[:1], reason]), BAD_INPUT if bad else FAILED)


def _flushed() -> int:
    """Flush the standard output; return 0, or the exit code if it cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        return _PIPE_CLOSED
    except OSError as error:
        return _no_output(error)
    return 0


def _no_output(error: OSError) -> int:
    _silence(sys.stdout)
    return _complain(f"the standard output cannot be written: {error.strerror or error}", FAILED)


def _place(error: Exception) -> str:
    """The innermost line of this library, for the report of an unexpected error."""
    root = str(Path(__file__).parent.parent)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(root):
            return f" ({Path(frame.filename).relative_to(root)}, line {frame.lineno})"
    return ""


def _silence(stream: TextIO) -> None:
    """Discard the stream's buffer when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _complain(message: str, code: int) -> int:
    lines = [line.rstrip() for line in message.splitlines() if line.strip()]
    try:
        print(f"noisymodel: {lines[0] if lines else message}", *lines[1:], sep="\n", file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)
    return code
