"""Jars of Java agents."""

from pathlib import Path
from zipfile import ZipFile


def write_agent(jar: Path, manifest: str | None = "Premain-Class: example.Agent\n") -> None:
    """Write a jar that says that it is an agent, which is as far as anybody looks before Java does."""
    jar.parent.mkdir(parents=True, exist_ok=True)
    with ZipFile(jar, "w") as archive:
        archive.writestr("example/Agent.class", b"\xca\xfe\xba\xbe")
        if manifest is not None:
            archive.writestr("META-INF/MANIFEST.MF", manifest)
