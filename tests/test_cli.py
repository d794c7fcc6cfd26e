"""The command line: what it prints, how it ends, and what it says to those who mistype."""

import json
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geodl import __version__, bench, cli, tour, verify
from geodl.bench.harness import BenchRow
from geodl.cli import terminal
from geodl.verify.base import Row

ROOT = Path(__file__).resolve().parent.parent
SHORT = ("--trainer.max_epochs", "2", "--trainer.accelerator", "cpu")


def says(capsys, *words):
    """The exit status of a command, and what it prints."""
    try:
        status = cli.main(words)
    except SystemExit as ending:
        status = ending.code
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def geodl(*words, cwd):
    """The command that a process runs."""
    code = "import sys; from geodl.cli import main; sys.exit(main())"
    return [sys.executable, "-c", code, *words], {
        "cwd": cwd,
        "env": os.environ | {"PYTHONPATH": str(ROOT)},
    }


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_prints_the_numbers_and_writes_them(here, capsys):
    status, out, err = says(
        capsys, "train", "karate-gcn", *SHORT, "--seeds", "2", "--json", "result.json"
    )
    assert (status, err) == (0, "")
    assert "karate-gcn on karate: 2 seeds, 594 parameters" in out
    assert re.search(r"test/accuracy +\d+\.\d\d \+- \d+\.\d\d %", out)
    assert "protocol: " in out
    assert "paper: " in out
    result = json.loads((here / "result.json").read_text())
    assert result["recipe"] == "karate-gcn"
    assert len(result["metrics"]["test/accuracy"]["values"]) == 2
    (folder,) = (here / "runs" / "karate-gcn").iterdir()
    assert f"kept in runs/karate-gcn/{folder.name}" in out
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "run.json",
        "result.json",
        "seed-0",
        "seed-1",
    }


def test_a_kept_configuration_runs_again(here, capsys):
    words = ("train", "karate-gcn", *SHORT, "--model.hidden", "8", "--optimizer.lr", "0.02")
    first = says(capsys, *words, "--run", "first", "--json", "first.json")
    again = says(
        capsys,
        "train",
        "karate-gcn",
        "--config",
        "first/config.yaml",
        "--run",
        "again",
        "--json",
        "again.json",
    )
    assert (first[0], again[0]) == (0, 0)
    one, two = (json.loads(Path(name).read_text()) for name in ("first.json", "again.json"))
    assert one["metrics"] == two["metrics"]
    assert "hidden 8" in one["protocol"]
    assert "lr 0.02" in one["protocol"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trian"], "did you mean 'train'?"),
        (["train", "cora-gnc"], "did you mean 'cora-gcn'?"),
        (
            ["train", "karate-gcn", "--trainer.max_epoch", "3"],
            "did you mean '--trainer.max_epochs'?",
        ),
        (["train", "karate-gcn", "--model.hiden=3"], "did you mean '--model.hidden'?"),
        (["train", "karate-gcn", "--optimizer.schedule", "one-cyle"], "did you mean 'one-cycle'?"),
        (
            ["train", "karate-gcn", "--trainer.max_epochs", "many"],
            "--trainer.max_epochs many: found a value that it cannot",
        ),
        (["train", "karate-gcn", "--batch_size", "3"], "--batch_size"),
        (["train", "karate-gcn", "extra"], "unrecognized arguments: extra"),
        (["train", "karate-gcn", "--config", "none.yaml"], "none.yaml"),
        (["train", "karate-gcn", "--optimizer.lr=-1"], "above 0"),
        (["train", "karate-gcn", "--optimizer.lr=1e300"], "up to 1e+30"),
        (["train", "karate-gcn", "--optimizer.weight_decay=1e300"], "up to 1e+30"),
        (["train", "karate-gcn", "--seeds", "0"], "0 seeds"),
        (["train", "karate-gcn", "--seeds"], "expected one argument"),
        (["train", "karate-gcn", "--json", "none/result.json"], "no folder to put it in"),
        (["train", "karate-gcn", "--json", "."], "a folder of that name"),
        (["train", "karate-gcn", "--resume", "none"], "no run.json there"),
        (["train", "karate-gcn", "--resume", "none", "--run", "other"], "leave --run out"),
        (["train"], "no recipe"),
        ([], "no command"),
        (["explain", "karate-gnc"], "did you mean 'karate-gcn'?"),
        (["data", "gte"], "did you mean 'get'?"),
        (["data", "get", "cra"], "did you mean 'cora'?"),
        (["data", "check", "karat"], "did you mean 'karate'?"),
        (["verify", "99"], "99"),
        (["verify", "--josn", "x"], "did you mean '--json'?"),
        (["bench", "conv2"], "did you mean 'conv2d'?"),
    ],
)
def test_bad_input_is_told_in_a_line(words, told, here, capsys):
    status, out, err = says(capsys, *words)
    assert (status, out) == (2, "")
    assert told in err
    assert err.startswith("geodl: ")
    assert err.count("\n") == 1
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], ["tour", "verify", "train", "explain", "data", "bench"]),
        (["train"], ["cora-gcn", "rotated-mnist-p4cnn", "digits-p4cnn"]),
        (
            ["train", "cora-gcn"],
            [
                "--trainer.max_epochs",
                "default: 200",
                "--model.hidden",
                "--seeds",
                "--resume",
                "--json",
            ],
        ),
        (["train", "rotated-mnist-p4cnn"], ["--batch_size", "--model.channels", "bf16-mixed"]),
        (["explain"], ["karate-gcn"]),
        (["data"], ["list", "get", "check"]),
        (["verify"], ["--json"]),
        (["bench"], ["--json", "--device"]),
        (["tour"], ["geodl-tour"]),
    ],
)
def test_help_tells_everything(words, told, capsys):
    status, out, _ = says(capsys, *words, "--help")
    assert status == 0
    assert [word for word in told if word not in out] == []


def test_version(capsys):
    assert says(capsys, "--version")[:2] == (0, f"geodl {__version__}\n")


def test_explain_shows_kernels_and_the_certificate(capsys):
    status, out, _ = says(capsys, "explain", "digits-p4cnn")
    assert status == 0
    assert "10,160 parameters" in out
    assert "runs on lattice" in out
    assert "Sequential on Grid(8, 8): exact under C4" in out
    assert "exact" not in says(capsys, "explain", "karate-gcn")[1]


def test_data_lists_gets_and_checks(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GEODL_DATA", str(tmp_path))
    assert "Cora: machine-learning papers" in says(capsys, "data", "list")[1]
    assert says(capsys, "data", "get", "karate", "digits")[:2] == (
        0,
        "karate: nothing to download\ndigits: nothing to download\n",
    )
    status, out, _ = says(capsys, "data", "check", "cora")
    assert status == 1
    assert out.count("missing") == 8


def test_data_that_is_there_is_fine(data_root, capsys):
    assert says(capsys, "data", "get", "cora")[0] == 0
    status, out, _ = says(capsys, "data", "check", "cora")
    assert (status, out.count(" ok\n")) == (0, 8)


def test_verify_passes_and_fails_by_its_rows(here, capsys, monkeypatch):
    rows = [Row("05 a claim", "Grid(3)", 3, 9, 1, 0.0, 0.0, 1e-11, True)]
    asked = []
    monkeypatch.setattr(verify, "run", lambda *, rows, progress: asked.append(rows) or made)
    made = rows
    assert says(capsys, "verify", "05", "--json", "rows.json")[0] == 0
    assert json.loads((here / "rows.json").read_text())[0]["claim"] == "05 a claim"
    made = [rows[0]._replace(passed=False)]
    status, out, _ = says(capsys, "verify")
    assert status == 1
    assert "0 of 1 claims hold" in out
    assert asked == [("05",), ()]


def test_bench_fails_out_of_reach(here, capsys, monkeypatch):
    row = BenchRow("conv2d", "a case", "a peer", 1.0, 2.0, 0.5, 0.5, 0.8, 0.0, 0.0, True)
    devices = []

    def run(names, progress, device):
        devices.append(device)
        progress(row)
        return [row._replace(reached=reached)]

    monkeypatch.setattr(bench, "run", run)
    reached = True
    status, out, _ = says(capsys, "bench", "conv2d", "--json", "rows.json")
    assert status == 0
    assert "a peer" in out
    assert json.loads((here / "rows.json").read_text())[0]["row"] == "conv2d"
    reached = False
    assert says(capsys, "bench", "--device", "cuda")[0] == 1
    assert devices == ["cpu", "cuda"]


def test_tour_ends_as_the_tour_does(here, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(tour, "run", lambda folder: seen.append(folder) or 1)
    assert says(capsys, "tour", "there")[0] == 1
    assert says(capsys, "tour")[0] == 1
    assert seen == [Path("there"), Path("geodl-tour")]


def test_without_jsonargparse_the_advice_is_to_install_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    for name in ("parser", "tree"):
        monkeypatch.delitem(sys.modules, f"geodl.cli.{name}", raising=False)
    status, _, err = says(capsys, "tour")
    assert status == 2
    assert 'pip install "geodl[all]"' in err


def test_long_work_is_told_now_and_then(capsys, monkeypatch):
    moments = iter([0.0, 1.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    with terminal.progress() as show:
        show("one", 1, 9)
        show("two", 2, 9)
        show("three", 3, 9)
    assert capsys.readouterr().out == "two, step 2 of 9\n"


def test_a_process_ends_without_a_traceback(tmp_path):
    command, place = geodl("train", "karate-gcn", "--json", "none/x.json", cwd=tmp_path)
    done = subprocess.run(command, **place, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "geodl: --json none/x.json: found no folder to put it "
        "in; give a file in a folder that exists\n"
    )


def test_a_full_disk_and_a_closed_pipe_end_without_a_traceback(tmp_path):
    command, place = geodl("data", "list", cwd=tmp_path)
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                command, **place, stdout=full, stderr=subprocess.PIPE, check=False
            )
        assert done.returncode == 2
        assert done.stderr.decode() == (
            "geodl: geodl data list: found No space left on device; make room or rights there\n"
        )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, **place, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


PRESSES_CONTROL_C = """
import os, signal, sys
from geodl.cli import main
from geodl.train.quiet import Steps

# a job in the background is born deaf to Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt(self, trainer, *rest):
    if trainer.global_step == 30:
        os.kill(os.getpid(), signal.SIGINT)
Steps.on_train_batch_end = interrupt
sys.exit(main())
"""


def test_control_c_leaves_a_run_that_resumes(tmp_path):
    command, place = geodl("train", "karate-gcn", "--run", "my run", cwd=tmp_path)
    done = subprocess.run(
        [*command[:2], PRESSES_CONTROL_C, *command[3:]],
        **place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "\ninterrupted; to continue: geodl train karate-gcn --resume 'my run'\n"
    assert (tmp_path / "my run" / "seed-0" / "last.ckpt").exists()
    assert not (tmp_path / "my run" / "result.json").exists()


def test_a_terminal_sees_a_bar(tmp_path):
    command, place = geodl("train", "karate-gcn", *SHORT, cwd=tmp_path)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, **place, stdout=theirs, stderr=subprocess.PIPE, stdin=theirs, text=True
    ) as process:
        os.close(theirs)
        seen = b""
        while chunk := _read(ours):
            seen += chunk
        assert process.wait(timeout=100) == 0
    os.close(ours)
    assert b"seed 0, 1 of 1" in seen
    assert b"test/accuracy" in seen


def _read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux's way to say that the other end was closed
        return b""
