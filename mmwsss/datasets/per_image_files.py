"""A folder with files that are named by the images they belong to."""

from functools import cached_property
from pathlib import Path

from ..utils.io import list_files


class PerImageFiles:
    """Questions about a folder of ``<image id><suffix>``.

    Attributes:
        folder: The folder.
        suffix: Of its files.
    """

    folder: Path
    suffix: str

    def files(self, key: str) -> list[Path]:
        """The files that an image should have."""
        return [self.folder / f'{key}{self.suffix}']

    def missing(self, key: str) -> list[Path]:
        """Those that are not there."""
        return [path for path in self.files(key) if path.name not in self.names]

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the files of the folder."""
        return frozenset(path.name for path in list_files(self.folder, self.suffix).values())

    def ids(self) -> set[str]:
        """Image ids that the folder has files of."""
        return set(list_files(self.folder, self.suffix))
