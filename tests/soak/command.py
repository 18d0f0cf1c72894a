"""A command that runs on while a test looks at what it says."""

import subprocess
import threading
from collections import deque
from collections.abc import Callable
from typing import IO

_KEPT = 200
_LAST = 20
_END_S = 30


class Lines:
    """The lines of a stream, read by a thread as they come: whoever writes them never waits for a reader."""

    def __init__(self, stream: IO[str], take: Callable[[str], None] | None = None) -> None:
        self._stream, self._take = stream, take
        self._changed = threading.Condition()
        self._kept: deque[str] = deque(maxlen=_KEPT)
        self._ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            for line in self._stream:
                if self._take is not None:
                    self._take(line)
                with self._changed:
                    self._kept.append(line.rstrip("\n"))
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def wait_for(self, text: str, timeout_s: float) -> bool:
        """Whether a line with `text` came, in time and before the stream ended; at once where the text is empty."""

        def came() -> bool:
            return not text or any(text in line for line in self._kept)

        with self._changed:
            self._changed.wait_for(lambda: came() or self._ended, timeout_s)
            return came()

    def last(self) -> str:
        """The last lines, for messages."""
        with self._changed:
            return "\n".join(list(self._kept)[-_LAST:])

    def close(self) -> None:
        """Wait for the end, which comes when the last process that has the stream is gone, and close it."""
        self._thread.join(_END_S)
        assert not self._thread.is_alive(), "a process that was ended still has its output open"
        self._stream.close()


class Command:
    """A command that was started; `take` gets each line of its standard output."""

    def __init__(self, process: subprocess.Popen[str], take: Callable[[str], None] | None = None) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.out = Lines(process.stdout, take)
        self.messages = Lines(process.stderr)

    def end(self, timeout_s: float) -> int:
        """Wait until it ends by itself and its streams with it; returns its exit code."""
        try:
            return self.wait(timeout_s)
        finally:
            self.close()

    def wait(self, timeout_s: float) -> int:
        """Wait until it ends; it is killed when it does not."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(_END_S)
            raise AssertionError(f"it did not end within {timeout_s:.0f} s:\n{self.said()}") from None

    def close(self) -> None:
        """Read what is left of the streams of a command that has ended."""
        self.out.close()
        self.messages.close()

    def said(self) -> str:
        """The last lines that it wrote."""
        return f"{self.messages.last()}\n{self.out.last()}"
