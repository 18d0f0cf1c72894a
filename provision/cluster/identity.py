"""The identity of software by its content, whatever its name and origin."""

import re
from collections.abc import Mapping

from msgspec import Struct

_CLUSTER_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}")


def is_cluster_id(text: str) -> bool:
    """Whether it is a cluster's id as Kafka makes them: 128 bits in URL-safe base64, without a leading hyphen."""
    return _CLUSTER_ID.fullmatch(text) is not None


class Identity(Struct, frozen=True):
    """The identity of an image or a jar.

    `checksum` is `sha256:` and 64 hexadecimal digits: an image's id, or the hash of a jar's bytes. `digest` is an
    image's `REPOSITORY@sha256:...` in its registry; None if it came from none.
    """

    checksum: str
    digest: str | None = None

    def is_same(self, other: "Identity") -> bool:
        """Whether both identify the same content.

        The id of an image differs between processor architectures, and an image loaded from a file has no digest: one
        of the two must match.
        """
        return self.checksum == other.checksum or (self.digest is not None and self.digest == other.digest)

    def __str__(self) -> str:
        return f"{self.digest} ({self.checksum})" if self.digest else self.checksum


Identities = Mapping[str, Identity]
"""By the name of an image, as resolved from the environment file, or of a jar's file."""
