"""`wikitext2`: articles of Wikipedia, 2 million words cut apart by spaces; a vocabulary of 33,278.

Source: Merity et al., Pointer Sentinel Mixture Models, ICLR 2017 (arXiv:1609.07843).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from condensa_core.errors import WorkloadError
from condensa_core.workload.datasets.options import DataOptions
from condensa_core.workload.datasets.text_files import read
from condensa_core.workload.datasets.texts import Text, TextSet, TextSource
from condensa_core.workload.datasets.tokens import separated_words
from condensa_core.workload.location import located

FILES: Final = ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens")


def load(options: DataOptions, directory: Path) -> TextSet:
    """The three published files, in the folder that `path` names, or beside the file that it names."""
    if options.path is None:
        raise WorkloadError("wikitext2 needs a path", hint=f"name the folder that holds {', '.join(FILES)}")
    path = located(options.path, directory)
    folder = path if path.is_dir() else path.parent
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise WorkloadError(f"wikitext2: {folder} has no {missing[0]}", hint="path names the folder of .tokens files")
    return TextSet(*(Text(read(folder / name), str(folder / name)) for name in FILES))


WIKITEXT2: Final = TextSource(
    name="wikitext2",
    load=load,
    takes=frozenset({"path", "level", "length", "vocabulary"}),
    level="word",
    tokenise=separated_words,
    words=None,  # rare words are `<unk>` in the files already
)
