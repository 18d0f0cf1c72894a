"""The process runtime: plain JVMs on this machine, found again by their directory and their process."""

from provision.runtime.process.runtime import ProcessRuntime

__all__ = ["ProcessRuntime"]
