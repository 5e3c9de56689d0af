"""What can be downloaded: the schema of `paper_configs/sources.yaml`."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from reproduce.errors import UserError
from reproduce.schema import Strict


class Member(Strict):
    """A checkpoint inside an archive: its `path` there, and the `limit`, in bytes, that it may not exceed."""

    path: str
    kind: Literal["autoencoder", "classifier"]
    limit: PositiveInt


class Source(Strict):
    """A file to download: its name `file` below the folder for downloads, and its `urls` in order of preference.

    A path may stand among the `urls`. `sha256` and `md5` are published checksums. `bytes` is the file's size. `by_hand`
    says how a person gets the file. `members` are an archive's checkpoints, by the names we give them.
    """

    description: str
    file: Annotated[str, Field(pattern=r"^[\w-][\w.-]*(/[\w-][\w.-]*)*$")]
    urls: tuple[str, ...]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    bytes: PositiveInt
    licence: str
    by_hand: str
    members: dict[str, Member] = Field(default_factory=dict)


class Sources(Strict):
    """All sources by name, and how much disk each profile takes, in GB."""

    disk_gb: dict[str, PositiveFloat]
    sources: dict[str, Source]

    def archive_of(self, checkpoint: str) -> str:
        """The name of the archive that has `checkpoint`; UserError where none has."""
        for name, source in self.sources.items():
            if checkpoint in source.members:
                return name
        known = ", ".join(member for source in self.sources.values() for member in source.members)
        raise UserError(f"sources.yaml has no checkpoint {checkpoint!r}; it has {known}")
