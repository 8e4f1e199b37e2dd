"""What a folder holds: files that are trained, validated and tested on, by their names, and files that hold no rows.

The words are those of `datasets` (data_files.SPLIT_KEYWORDS), with Chinese ones and with `eval` as a name of what is held
out, as trainers use it.
"""

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from tunewright.errors import DataError, Problem, Where, error
from tunewright.i18n import N_
from tunewright.security.paths import check_link

DEEPEST = 32  # folders in one another
NEAR = 0.75  # how similar a name must be to be suggested for a missing one
TRAIN, VALIDATION, TEST = "train", "validation", "test"
CONLL = (".conll", ".conllu", ".bio", ".iob", ".iob2")
TEXTS = (".txt", ".md")
EXTENSIONS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", *TEXTS, *CONLL)
_BESIDE_NOTES = tuple(extension for extension in EXTENSIONS if extension != ".md")

_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), TRAIN),
    **dict.fromkeys(
        ("validation", "valid", "val", "dev", "eval", "evaluation", "holdout", "devset", "valset"), VALIDATION
    ),
    **dict.fromkeys(("test", "testing", "testset", "tst"), TEST),
}
_CHINESE = {"训练": TRAIN, "验证": VALIDATION, "开发集": VALIDATION, "测试": TEST}
_PARTING = re.compile(r"[^a-zA-Z]+|(?<=[a-z])(?=[A-Z])")
# What `Dataset.save_to_disk` and Hub snapshots put beside the rows; it is part of the data and no word is lost about it.
_OF_DATASETS = re.compile(r"(?:dataset_infos?|dataset_dict|state)\.json|cache-[0-9a-f]+\.arrow")
# What lies beside data and is not data: texts and settings for people and programs; tables may be about such a word.
_NO_ROWS = re.compile(
    r"(?!.*\.(?:jsonl|ndjson|csv|tsv|parquet|arrow)$)"
    r"(?:readme|licen[cs]e|copying|copyright|notice|disclaimer|terms|authors?|contributors|contributing|citation|changelog|"
    r"changes|history|sources?|version|requirements|todo|datasheet|acknowledge?ments?)(?:[-_. ].*)?|"
    r"manifest(?:[-_. ].*)?|"
    r"(?:config|metadata|meta|info|schema|package|package-lock|statistics|stats)\.json|"
    r"(?:labels?|classes|vocab|vocabulary|stopwords|robots|index)\.txt",
    re.IGNORECASE,
)


def split_of(name: str) -> str:
    """The split that the name of a file or folder means: train, validation or test; "" if none or several."""
    tellings = {_WORDS[word] for part in _PARTING.split(name) if (word := part.casefold()) in _WORDS}
    tellings |= {split for word, split in _CHINESE.items() if word in name}
    return tellings.pop() if len(tellings) == 1 else ""


@dataclass
class DataFolder:
    """The data files of a folder by split ("" for those whose names tell none), and what else lies there, by name."""

    files: dict[str, list[Path]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def of(self, split: str) -> list[Path]:
        """The files of a split; without any names of splits all files are those to be trained on."""
        if split == TRAIN and TRAIN not in self.files:
            return self.files.get("", [])
        return self.files.get(split, [])


def list_folder(place: Path) -> DataFolder:
    """The files of a folder, those of its sub-folders that are named after splits, or those of its only sub-folder of data.

    Markdown files are notes where data of another type lie beside them, and data where they are alone.

    Raises: ModelError E315 for a link that leads out of it, DataError E261 for a name that is not UTF-8.
    """
    listing = _listed_with_folder(place, _BESIDE_NOTES)
    return listing if listing.files or listing.folders else _listed_with_folder(place, EXTENSIONS)


def _listed_with_folder(place: Path, extensions: Collection[str]) -> DataFolder:
    listing = _listed(place, place, extensions)
    if not listing.files and len(listing.folders) == 1:
        return _listed(listing.folders[0], place, extensions)
    return listing


def _listed(place: Path, root: Path, extensions: Collection[str]) -> DataFolder:
    listing = DataFolder()
    for entry in _entries(place, root):
        if entry.is_dir():
            files = list(_data_files(entry, root, (place,), extensions))
            if not files:
                listing.others.append(entry.name)
            elif split := split_of(entry.name):
                listing.files.setdefault(split, []).extend(files)
            else:
                listing.folders.append(entry)
        elif _is_data(entry, extensions):
            listing.files.setdefault(split_of(entry.stem), []).append(entry)
        else:
            listing.others.append(entry.name)
    return listing


def _data_files(folder: Path, root: Path, above: tuple[Path, ...], extensions: Collection[str]) -> Iterator[Path]:
    """The data files of a folder and of those in it, in the order of their names; `above` are its parent folders.

    Raises: DataError E262 for a link that leads back into one of these, and for more than DEEPEST of them.
    """
    if len(above) > DEEPEST:
        raise error("E262", Where(str(folder)), file=str(folder), what=N_("a folder in too many others"))
    if folder.is_symlink() and any(folder.samefile(parent) for parent in above):
        raise error("E262", Where(str(folder)), file=str(folder), what=N_("a link to a folder that contains it"))
    for entry in _entries(folder, root):
        if entry.is_dir():
            yield from _data_files(entry, root, (*above, folder), extensions)
        elif _is_data(entry, extensions):
            yield entry


def _entries(folder: Path, root: Path) -> Iterator[Path]:
    """What a folder holds that may be data. Raises: ModelError E315 for a link that leads out of `root`."""
    for entry in sorted(folder.iterdir()):
        if not _is_hidden(entry):
            if entry.is_symlink():
                check_link(root, entry)
            yield entry


def _is_hidden(entry: Path) -> bool:
    return entry.name.startswith((".", "~$")) or bool(_OF_DATASETS.fullmatch(entry.name))


def _is_data(file: Path, extensions: Collection[str]) -> bool:
    """Raises: DataError E261 for a data file whose name no record can hold, E262 for what is called so and holds no rows."""
    if file.suffix.lower() not in extensions or _NO_ROWS.fullmatch(file.name):
        return False
    _refuse_special_file(file)
    if not _is_text(file.name):
        raise error("E261", Where(str(file)), file=str(file))
    return True


def _refuse_special_file(path: Path) -> None:
    """Raises: DataError E262 for what is there and neither file nor folder."""
    if path.is_file() or path.is_dir():
        return
    if path.is_symlink() and not path.exists():
        raise error("E262", Where(str(path)), file=str(path), what=N_("a link that leads nowhere"))
    if path.exists():
        raise error("E262", Where(str(path)), file=str(path), what=N_("a pipe, a socket or a device"))


def _is_text(name: str) -> bool:
    """Whether a name is UTF-8: Python has half characters in the place of other bytes."""
    return not any("\ud800" <= char <= "\udfff" for char in name)


def data_files(path: str, split: str) -> list[Path]:
    """The data files that a path names: itself, or those of this split in a folder.

    Raises: DataError E201 if there is none, E202 if a single file has another type, E237 if the folder lacks the split.
    """
    place = Path(path).expanduser()
    extensions = " ".join(EXTENSIONS)
    if place.is_file():
        if place.suffix.lower() not in EXTENSIONS:
            raise error("E202", Where(str(place)), extension=place.suffix or place.name, extensions=extensions)
        return [place]
    if not place.is_dir():
        _refuse_special_file(place)
        raise _nothing_at(place, path)
    folder = list_folder(place)
    if not folder.files:
        inner = {"inner": shlex.quote(str(folder.folders[0]))} if folder.folders else {}
        values = {"path": path, "reason": N_("the folder holds no data file"), "extensions": extensions, **inner}
        raise DataError([Problem("E201", values=values)])
    if files := folder.of(split):
        return files
    names = sorted(name for name in folder.files if name)
    raise error("E237", path=path, split=split, splits=", ".join(names), other=names[0])


def originals(path: str) -> list[Path]:
    """What a reader of these data must be allowed to read: the file, or the folder, what is read in it, and what lies between.

    Empty for data on the Hub. Raises: ModelError E315 as `list_folder`.
    """
    place = Path(path).expanduser()
    if not place.is_dir():
        return [place] if place.exists() else []
    files = [file for part in list_folder(place).files.values() for file in part]
    between = {parent for file in files for parent in file.parents if parent.is_relative_to(place)}
    return [*files, *between]


def _nothing_at(place: Path, path: str) -> Exception:
    """E201 with the nearest existing name."""
    values = {"path": path, "reason": N_("nothing is there")}
    try:
        around = [entry for entry in place.parent.iterdir() if _is_text(entry.name)]
        data = [entry for entry in around if entry.is_dir() or entry.suffix.lower() in EXTENSIONS]
    except OSError:
        data = []
    # Compared without endings, which names that have nothing else in common share.
    by_stem = {entry.stem.casefold(): entry for entry in sorted(data, reverse=True)}
    if close := get_close_matches(place.stem.casefold(), by_stem, n=1, cutoff=NEAR):
        values["suggestion"] = shlex.quote(str(by_stem[close[0]]))
    else:
        values["extensions"] = " ".join(EXTENSIONS)
    return DataError([Problem("E201", values=values)])
