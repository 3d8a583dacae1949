"""What the data sets share: where the raw files are, and a processed file that fits the options it is asked for."""

from __future__ import annotations

import io
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import HeteroData, InMemoryDataset

from kgrl.datasets.assemble import Rules
from kgrl.datasets.audit import audit_links
from kgrl.files import digest, whole_file
from kgrl.objects import a_path
from kgrl.options import flag
from kgrl.sealed import Damaged, seal, unseal
from kgrl.texts import with_texts, without_texts

RULES = {"linked_only", "min_ratings", "bad_links", "seed"}  # what is refused before any file is looked at
FORMAT = 4  # raised whenever what a processed file holds changes


class KGRecDataset(InMemoryDataset):
    """A data set of ratings and a KG as PyG has it: ``root/raw`` → ``root/processed``, ``dataset[0]`` a ``HeteroData``.

    The processed file's name holds a digest of everything it was made from (format, options, raw files), so a file made
    with other options or from another source is never taken for it; it is written whole or not at all,
    with a digest of its content, and what it holds is never run as code.

    Where there is a KG, :func:`~kgrl.datasets.audit_links` is run on what was read and kept, in plain values, in
    ``data.provenance["links"]``; links that are not told apart from shuffled ones are warned of at every load.

    Args:
        root: folder of the data set; ``root/raw`` takes the downloads.
        source: a folder that already holds the raw files; it is only read. ``None``: download them.
        options: what else decides how the raw files are read.
        transform: applied at every access.
        pre_transform: applied before saving.
        force_reload: process again even if a fitting processed file is there.
    """

    url = ""
    license = ""
    citation = ""
    item_noun = "item"  # what an item without a title is called before its raw id

    def __init__(
        self,
        root: str | os.PathLike[str],
        source: str | os.PathLike[str] | None,
        options: dict[str, Any],
        *,
        transform: Callable[[HeteroData], HeteroData] | None = None,
        pre_transform: Callable[[HeteroData], HeteroData] | None = None,
        force_reload: bool = False,
    ) -> None:
        self.source = None if source is None else a_path("source", source)
        rules = Rules(**{name: options[name] for name in RULES & options.keys()})
        flag("force_reload", force_reload)
        self.options = options | {name: getattr(rules, name) for name in RULES & options.keys()}
        super().__init__(os.fspath(a_path("root", root)), transform, pre_transform, force_reload=force_reload)
        self.data, self.slices = _read(Path(self.processed_paths[0])), None
        self._warn_of_links()

    @abstractmethod
    def read(self, folder: Path) -> HeteroData:
        """Parses the raw files in ``folder``."""

    @abstractmethod
    def fetch(self, folder: Path) -> None:
        """Puts the raw files into ``folder``."""

    @property
    def raw_dir(self) -> str:
        return str(self.source or Path(self.root) / "raw")

    @property
    def processed_file_names(self) -> str:
        raw = [[name, *_stamp(Path(self.raw_dir) / name)] for name in self.raw_file_names]
        source = self.source and str(self.source.resolve())
        made_from = [FORMAT, type(self).__name__, self.options, source, raw]
        return f"data-{digest(made_from, repr(self.pre_transform))[:16]}.pt"

    def download(self) -> None:
        if self.source is not None:
            missing = [path for path in self.raw_paths if not os.path.exists(path)]
            raise FileNotFoundError(f"`source` must hold the raw files of {type(self).__name__} "
                                    f"({', '.join(self.raw_file_names)}); {', '.join(missing)} is not there")
        self.fetch(Path(self.raw_dir))

    def process(self) -> None:
        data = self.read(Path(self.raw_dir))
        data.provenance |= {"name": type(self).__name__, "item_noun": self.item_noun}
        if any("user" not in (source, target) for source, _, target in data.edge_types):
            data.provenance["links"] = audit_links(data).plain()
        if self.pre_transform is not None:
            data = self.pre_transform(data)
        content = io.BytesIO()
        torch.save(without_texts(data), content)
        with whole_file(self.processed_paths[0]) as temporary:
            temporary.write_bytes(seal(content.getvalue()))

    def _warn_of_links(self) -> None:
        """Says so where the links carry no meaning; where nothing can be told, the audit alone says that."""
        provenance = self._data.get("provenance") if isinstance(self._data, HeteroData) else None
        links = (provenance or {}).get("links")
        if links and not links["sound"] and not links["unclear"]:
            warnings.warn(f"{type(self).__name__}: {links['sentence']}. Do the links number the items as the ratings "
                          f"do? A KG with wrong links tells nothing of the items", stacklevel=4)

    def _download(self) -> None:
        # PyG makes the raw folder first, even inside a `source` that is not there
        if not all(os.path.exists(path) for path in self.raw_paths):
            self.download()

    def _process(self) -> None:
        # PyG warns when the options differ from those of the file that is there; here that file has another name
        if self.force_reload or not os.path.exists(self.processed_paths[0]):
            self.process()


def _read(path: Path) -> HeteroData:
    """The data in a processed file: tensors and plain values; nothing in a file is ever run.

    Raises:
        ValueError: it is damaged, or holds anything else.
    """
    hint = "delete it, and it is made anew; where that does not help, `pre_transform` makes what is no plain value"
    try:
        plain = torch.load(io.BytesIO(unseal(path.read_bytes())), map_location="cpu", weights_only=True)
        return with_texts(HeteroData.from_dict(plain))
    except Damaged as error:
        raise ValueError(f"{path} {error}; {hint}") from error
    except Exception as error:  # whatever PyTorch and PyG make of a foreign content
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "weights_only" in reason:  # PyTorch's text, which a traceback would show above ours, says how to run it
            raise ValueError(f"{path} holds code or objects, not only tensors and plain values, and was not run; "
                             f"{hint}") from None
        raise ValueError(f"{path} holds something else than the tensors and plain values of a data set ({reason}); "
                         f"{hint}") from error


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of change: what shows that a raw file was replaced, without reading it."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
