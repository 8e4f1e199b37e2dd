"""Fixes that are commands or names of files, pasted as they stand: what was refused is read then."""

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.shapes.looking import Seen, look, settings_of
from tests.shapes.registry import SHAPES
from tests.shapes.shape import Reader, Shape

COMMANDS = ("iconv", "cp")
MENDED_BY_HAND = {
    "E210",
    "E217",
    "E226",
}  # an empty or broken file, or one class alone: no command makes what is not there
REFUSED = [shape for shape in SHAPES if shape.code]


def first_look(shape: Shape, path: Path, model: Path, **more: object) -> Seen:
    return look(path, model, {**shape.all_settings(path.parent), **more})


@pytest.mark.parametrize("shape", [pytest.param(shape, id=shape.name) for shape in REFUSED])
def test_each_refusal_says_what_to_do_and_each_flag_of_it_can_be_pasted(
    shape: Shape, readers: Mapping[Reader, Path], tmp_path: Path
) -> None:
    """A pasted fix gives the rows, or another code: never the same answer again."""
    path, model = shape.write(tmp_path), readers[shape.reader]
    seen = first_look(shape, path, model)
    own = seen.problems[0].fixes()
    assert own or shape.code in MENDED_BY_HAND
    for fix in own:
        if "--" in fix and "COLUMN" not in fix and "iconv" not in fix:
            assert first_look(shape, path, model, **settings_of(fix)).code != shape.code, fix


@pytest.mark.parametrize("name", ["gbk-csv", "utf16-without-mark", "shift-jis-csv", "conll-as-txt-pos"])
def test_a_command_makes_a_file_that_is_read(name: str, readers: Mapping[Reader, Path], tmp_path: Path) -> None:
    shape = next(shape for shape in SHAPES if shape.name == name)
    folder = tmp_path / "a folder"
    folder.mkdir()
    path, model = shape.write(folder), readers[shape.reader]
    (command,) = (fix for fix in first_look(shape, path, model).fixes if fix.startswith(COMMANDS))
    subprocess.run(["bash", "-c", command], check=True, cwd=tmp_path)
    better = Path(shlex.split(command)[-1])
    assert better != path
    seen = first_look(shape, better, model)
    assert (seen.code, len(seen.learned) > 0) == ("", True)


@pytest.mark.parametrize(
    ("name", "learned"),
    [
        ("rows-are-turns", ("Yes.",)),
        ("pku-saferlhf", ("Yes.",)),
        ("arena", ("No.",)),
        ("llama-factory-ranking", ("Yes.",)),
        ("ultrafeedback", ("Yes.",)),
        ("nectar", ("Yes.",)),
        ("chosen-in-a-list", ("Yes.",)),
        ("prodigy", ("good", "not good", "good", "not good")),
        ("kto", ("Yes.",)),
        ("kto-numbers", ("Yes.",)),
    ],
)
def test_a_command_writes_the_rows_to_learn(
    name: str, learned: tuple[str, ...], readers: Mapping[Reader, Path], tmp_path: Path
) -> None:
    shape = next(shape for shape in SHAPES if shape.name == name)
    folder = tmp_path / "ann's folder"
    folder.mkdir()
    path, model = shape.write(folder), readers[shape.reader]
    (fix,) = (fix for fix in first_look(shape, path, model).fixes if "python3 -c" in fix)
    command = fix[fix.find("python3") :]
    subprocess.run(["bash", "-c", command], check=True, cwd=tmp_path)
    assert look(tmp_path / shlex.split(command)[-1], model, {}).learned == learned


def test_the_nearest_name_and_the_inner_folder_can_be_named(readers: Mapping[Reader, Path], tmp_path: Path) -> None:
    shape = next(shape for shape in SHAPES if shape.name == "folder-of-folders")
    place, model = shape.write(tmp_path), readers[shape.reader]
    (fix, *_more) = look(place, model, {}).fixes
    assert look(Path(shlex.split(fix)[-1]), model, {}).learned == ("it is red",)
    (fix,) = look(place.with_name("dta"), model, {}).fixes
    assert shlex.split(fix.removesuffix("?"))[-1] == str(place)
