"""Models of AWS's services, read by botocore from its files: in half of the time, and once a process.

botocore looks into each of its 440 folders to learn which services there are, and makes an ordered dictionary of
every object of JSON. Together that takes longer than all that a client is made of.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botocore.loaders import JSONFileLoader, Loader
from typing_extensions import override

if TYPE_CHECKING:
    from botocore.session import Session

_LOADER: Final = "data_loader"


def share_models(session: Session) -> None:
    """Give a session the models of this process, which other sessions may have read already."""
    session.register_component(_LOADER, _loader(session.get_config_variable("data_path")))


@functools.cache
def _loader(data_path: str | None) -> Loader:
    """Return the loader of botocore's folders, and before them those of AWS_DATA_PATH."""
    paths = [os.path.expandvars(path) for path in (data_path or "").split(os.pathsep) if path]
    return _Models([os.path.expanduser(path) for path in paths], _JsonFiles())  # noqa: PTH111 - a text, as botocore's


class _Models(Loader):
    """Loads a model without a search for those of other services."""

    @override
    def list_available_services(self, type_name: str) -> list[str]:
        """Return every folder. A folder without the model is an error later, when its versions are listed."""
        return self._folders

    @functools.cached_property
    def _folders(self) -> list[str]:
        paths = [Path(path) for path in self.search_paths]
        return [folder.name for path in paths if path.is_dir() for folder in path.iterdir()]


class _JsonFiles(JSONFileLoader):
    """Reads JSON into plain dictionaries, which keep their order as well."""

    @override
    def load_file(self, file_path: str) -> Any:
        """Return the content of the file, which may be packed; None without a file."""
        with contextlib.suppress(FileNotFoundError):
            return json.loads(Path(f"{file_path}.json").read_bytes())
        with contextlib.suppress(FileNotFoundError):
            return json.loads(gzip.decompress(Path(f"{file_path}.json.gz").read_bytes()))
        return None
