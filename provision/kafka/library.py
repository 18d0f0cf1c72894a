"""The client library, loaded in two steps: what speaks the protocol at once, its clients when they are first needed.

`import kafka` loads everything, which takes twice as long as what a question to a broker needs; and two packages of it
load all requests of a kind, of which a command sends one or two. So the modules of these packages are put in place
unexecuted, which is enough for their submodules; they are executed as soon as anything is looked up in them.
Every module of this room imports this one first: it loads the protocol's modules in one thread, in an order that their
circular imports allow.

The library describes each message in a file, which it reads with a function of which Python 3.11 and 3.12 warn, for
each of hundreds of files, and wherever one is first needed. Filters for warnings belong to the program, or to the test,
and cannot be set for one thread; so the library gets a function that does the same without a warning.

The library bounds each wait with `time.monotonic`, and makes its requests from timers that this clock drives. Tests of
an application stop that clock (freezegun); then nothing that is asked of the library ends. So its modules get one that
goes on.
"""

import importlib
import importlib.util
import logging
import sys
import threading
import time
from importlib.resources import files
from types import ModuleType, SimpleNamespace

from provision.common.clocks import running_s

_NAME = "kafka"
_PARTS = (f"{_NAME}.protocol.consumer", f"{_NAME}.protocol.admin")
_PROTOCOL = ("errors", "protocol.parser", "protocol.metadata", "protocol.consumer.offsets")


class _Package(ModuleType):
    """A package, not executed until something of it is missing."""

    _lock = threading.RLock()  # this thread looks up more while it executes the package
    _begun = False

    def __getattr__(self, name: str) -> object:
        with self._lock:
            if not self._begun:
                self._begun = True
                spec = self.__spec__
                if spec is None or spec.loader is None:
                    raise ImportError(f"{self.__name__} has no loader")
                spec.loader.exec_module(self)
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self) from None


class _Time(ModuleType):
    """The module `time`, with a clock and a pause that nobody replaces; the Unix time is what the program is told."""

    monotonic = staticmethod(running_s)

    @staticmethod
    def sleep(pause_s: float) -> None:
        threading.Event().wait(pause_s)

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


_TIME = _Time("time")


def keep_time() -> None:
    """Give the library's modules that are loaded a clock that goes on; to be called once its clients are loaded."""
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{_NAME}.") and vars(module).get("time") is time:
            vars(module)["time"] = _TIME


def _read_text(package: str | ModuleType, name: str) -> str:
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _load() -> None:
    """Put the packages in place, unless they are loaded already, and load what speaks the protocol."""
    for name in (_NAME, *_PARTS):
        if name not in sys.modules and (spec := importlib.util.find_spec(name)):
            package = importlib.util.module_from_spec(spec)
            package.__class__ = _Package
            sys.modules[name] = package
    schemas = importlib.import_module(f"{_NAME}.protocol.schemas.load_json")
    schemas.importlib = SimpleNamespace(resources=SimpleNamespace(read_text=_read_text))  # type: ignore[attr-defined]
    for name in _PROTOCOL:
        importlib.import_module(f"{_NAME}.{name}")


_load()
# That passwords are sent in the clear is what the environment's file says; it need not be told at each connection.
for _module in ("plain", "scram"):
    logging.getLogger(f"kafka.net.sasl.{_module}").addFilter(lambda record: "in the clear" not in record.getMessage())
