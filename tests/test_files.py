"""Files and folders are written whole or not at all, wherever the library writes one."""

import ast
import errno
import json
import os
import stat
from pathlib import Path

import pytest

from geodl import files
from geodl.errors import GeodlError
from tests.rules.imports import sources
from tests.training import failing_writes, refused

ROOT = Path(__file__).resolve().parent.parent
# Who may call what writes a file, besides `files` itself: each inside a block of `new_file` or
# `new_folder`, or into a file of the system.
WRITERS = {
    "write_text": {"geodl.bench.meter"},
    "write_bytes": {"geodl.train.checkpoint"},
    "savefig": {"geodl.cli.figure", "geodl.tour"},
    "savez": {"geodl.data.rotated"},
    "writelines": {"geodl.data.fetch"},
    "copyfile": {"geodl.data.fetch"},
}


def writes(text: str) -> set[str]:
    """The methods and functions called in a text that write a file."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            given = [ast.unparse(argument) for argument in node.args]
            if name == "open" and any(mode in ("'w'", "'wb'", "'a'") for mode in given):
                found.add("writelines" if "target" in text else "savez")
            if "." in ast.unparse(node.func) and name in WRITERS:
                found.add(name)
    return found


def test_nothing_else_writes_a_file():
    for module, text in sources(ROOT / "geodl").items():
        if module != "geodl.files":
            allowed = {name for name, modules in WRITERS.items() if module in modules}
            assert writes(text) <= allowed, module


def test_a_writer_elsewhere_is_found():
    assert writes("from pathlib import Path\nPath('x').write_text('y')") == {"write_text"}
    assert writes("figure.savefig('x.png')") == {"savefig"}
    assert writes("open('x', 'w')")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_write_that_fails_leaves_the_old_file(number, tmp_path, monkeypatch):
    path = tmp_path / "numbers.json"
    files.write_json(path, [1, 2])
    failing_writes(monkeypatch, "numbers", number)
    refused(
        f"to write {path}: found {os.strerror(number)}; name a file",
        act=lambda: files.write_json(path, [3] * 100),
    )
    assert json.loads(path.read_text()) == [1, 2]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_disk_that_complains_at_the_end_leaves_the_old_file(where, tmp_path, monkeypatch):
    def refuse(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "text"
    files.write_text(path, "old")
    monkeypatch.setattr(os, where, refuse)
    refused("No space left on device", act=lambda: files.write_text(path, "new"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_renamed_within_its_folder(tmp_path, monkeypatch):
    moved = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: moved.append((a, b)) or real(a, b))
    files.write_text(tmp_path / "text", "new")
    ((source, target),) = moved
    assert Path(source).parent == Path(target).parent == tmp_path


def test_a_failure_in_the_block_is_its_own(tmp_path):
    def interrupted():
        with files.new_file(tmp_path / "text") as unfinished:
            unfinished.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_links_are_followed_and_pipes_are_written_into(tmp_path):
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_text("old")
    link.symlink_to(target)
    files.write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"
    files.write_text(Path(os.devnull), "gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), [1.0, -float("inf")]])
def test_a_number_that_is_none_in_json_is_not_written(number, tmp_path):
    refused("not finite", act=lambda: files.write_json(tmp_path / "a", {"loss": number}))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_whole_or_not_there(tmp_path):
    folder = tmp_path / "folder"
    with files.new_folder(folder) as building:
        (building / "a").write_text("1")
        assert not folder.exists()

    def failed():
        with files.new_folder(folder) as building:
            (building / "b").write_text("2")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failed()
    assert [path.name for path in folder.iterdir()] == ["a"]
    with files.new_folder(folder) as building:
        (building / "c").write_text("3")
    assert [path.name for path in folder.iterdir()] == ["c"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    with files.new_folder(folder) as building:
        (building / "a").write_text("1")
    real = Path.rename

    def rename(path, target):
        if target == folder and "a" not in os.listdir(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(GeodlError, match="No space left"), files.new_folder(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [folder]


def test_parts_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / ".last.ckpt.0123.part").write_text("half")
    (tmp_path / "last.ckpt").write_text("whole")
    files.remove_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
