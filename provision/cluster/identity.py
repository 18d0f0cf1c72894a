"""What a piece of software is by its content, whatever it is called and wherever it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Identity:
    """What an image or a jar is by its content.

    `checksum` is `sha256:` and 64 hexadecimal digits: an image's id, or that of a jar's bytes. `digest` is an image's
    `REPOSITORY@sha256:...` in its registry; None where it came from none.
    """

    checksum: str
    digest: str | None = None

    def is_same(self, other: "Identity") -> bool:
        """Whether both stand for the same bytes.

        An engine gives another id to an image for another processor, and none has the digest of an image that was
        loaded from a file: either of the two is enough.
        """
        return self.checksum == other.checksum or (self.digest is not None and self.digest == other.digest)

    def __str__(self) -> str:
        return f"{self.digest} ({self.checksum})" if self.digest else self.checksum


Identities = Mapping[str, Identity]
"""By the name of an image, as the environment file resolves it, or of a jar's file."""
