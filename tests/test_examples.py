"""Each example runs as it stands, is short enough to be read whole, and prints the number that its
first line claims.
"""

import re
import runpy
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DATA = {"cora", "rotated_mnist"}


@pytest.fixture
def run(monkeypatch, capsys):
    """What an example prints when it is run with some words after its name."""

    def printed(name: str, *words: str) -> str:
        monkeypatch.setattr("sys.argv", [f"{name}.py", *words])
        with torch.random.fork_rng(devices=[]):
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        assert torch.is_grad_enabled(), "an example leaves a mode of torch's behind"
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_under_80_lines(path):
    assert len(path.read_text().splitlines()) < 80


PLUMBING = (
    "activations_and_pools",
    "chebnet",
    "cnn_families",
    "counting_weights",
    "depthwise_separable",
    "gin_molecules",
    "graphsage",
    "heterogeneous",
    "learnable_adjacency",
    "learnable_gabor",
    "lightgcn",
    "own_graphs",
    "own_links",
    "own_nodes",
    "superpixels",
    "torch_cnn_on_a_torus",
    "unet",
    "virtual_node",
)


@pytest.mark.parametrize("name", PLUMBING)
def test_what_shows_one_idea_is_under_40_lines(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 40


def test_every_example_is_run_here():
    text = Path(__file__).read_text()
    assert [path.stem for path in EXAMPLES.glob("*.py") if f'run("{path.stem}"' not in text] == []


def test_a_transformer_is_a_gnn(run):
    printed = run("transformer_is_a_gnn")
    assert float(printed.split()[-1]) < 1e-12
    assert re.findall(r"(\d+) edges", printed) == ["144", "78", "36"]


def test_five_domains(run):
    printed = run("five_domains", "--steps", "150")
    ran = re.findall(r"runs on (\w+)", printed)
    assert ran == ["lattice", "lattice", "mean", "spmm", "lattice"]
    assert float(printed.split()[-1]) < 0.05


def test_untrained_layers_are_not_their_teachers(run):
    assert float(run("five_domains", "--steps", "1").split()[-1]) > 0.1


def test_cora(run, data_root):
    printed = run("cora", "--epochs", "60")
    assert printed.startswith("cora, public split, seed 0, 60 epochs: test accuracy")
    assert 75 < float(printed.split()[-1].rstrip("%")) < 85


def test_rotated_mnist(run, data_root):
    printed = run("rotated_mnist", "--epochs", "1", "--limit", "256").splitlines()
    assert printed[-1].startswith("rotated-mnist (made from MNIST): test error ")
    assert "on 256 images" in printed[-1]
    assert 0 < float(printed[-1].split()[-1]) < 1e-4


def test_chebnet(run, data_root):
    printed = run("chebnet", "--epochs", "40")
    assert "runs on polynomial" in printed
    assert 75 < float(printed.split()[-1].rstrip("%")) < 86


def test_activations_and_pools(run):
    printed = run("activations_and_pools")
    share = {name: float(number) for name, number in re.findall(r"(\w+) +(\d\S*e-?\S+)", printed)}
    assert share["Sigmoid"] < 1e-8 and share["ReLU"] > 1e-2
    assert "max 1.00, mean 0.06" in printed and "max 0.50, mean 0.50" in printed


def test_cnn_families(run):
    printed = run("cnn_families")
    for line in ("VGG-16 +138,357,544 ", "ResNet-50 +25,557,032 ", "LeNet-5 +61,706 "):
        assert re.search(line, printed)


def test_counting_weights(run):
    printed = run("counting_weights")
    for counted in ("1,000,000,000,000 weights", "100,000,000 weights", "  100 weights"):
        assert counted in printed
    assert "3: sees 49 pixels, 110,592 weights; one of 7: 200,704" in printed
    assert "as large as the image: True" in printed and "a self-edge: True" in printed


def test_depthwise_separable(run):
    assert float(run("depthwise_separable").split()[-1].rstrip("%")) > 80


def test_gin_molecules(run, data_root):
    share = float(re.findall(r"([\d.]+)% right", run("gin_molecules"))[0])
    assert share > 68  # 66.5 % of all cause mutations


def test_graphsage(run, data_root):
    assert 70 < float(run("graphsage").split()[-1].rstrip("%")) < 86


def test_torch_cnn_on_a_torus(run):
    said = run("torch_cnn_on_a_torus")
    off = [float(number) for number in re.findall(r"off by ([-\d.e]+)", said)]
    assert len(off) == 2 and max(off) < 1e-5
    assert "window(3x3), heads=2) on Grid(6, 6) runs on banded" in said


def test_heterogeneous(run):
    assert float(run("heterogeneous").split("%")[0]) > 75


def test_learnable_adjacency(run):
    pairs, right = re.findall(r"of (\d+) pairs are linked: (\d+)", run("learnable_adjacency"))[0]
    assert pairs == "132"
    assert int(right) >= 125


def test_learnable_gabor(run):
    assert float(run("learnable_gabor").split()[0]) < 0.1


def test_lightgcn(run):
    assert float(re.findall(r"([\d.]+)% of pairs", run("lightgcn"))[0]) > 65


def test_own_graphs(run):
    assert float(re.findall(r"([\d.]+)% right", run("own_graphs"))[0]) > 80


def test_own_links(run):
    auc, precision = map(float, re.findall(r"0\.\d+|1\.0+", run("own_links")))
    assert auc > 0.85 and precision > 0.85


def test_own_nodes(run):
    printed = run("own_nodes")
    assert float(re.findall(r"([\d.]+)% of the others", printed)[0]) > 85
    assert re.search(r"the link \d+ -> 5$", printed.strip())


def test_superpixels_keep_more_than_squares(run):
    pytest.importorskip("skimage")
    printed = run("superpixels")
    kept = [float(share) for share in re.findall(r"keep +([\d.]+)%", printed)]
    nodes = [int(count) for count in re.findall(r"(\d+) s(?:quares|uperpixels)", printed)]
    assert nodes[-1] < nodes[-2] and kept[-1] > kept[-2]
    assert printed.count("one layer, whatever the graph") == 3


def test_unet(run):
    error = float(re.findall(r"([\d.]+) of what", run("unet"))[0])
    assert error < 0.1


def test_a_virtual_node_tells_the_mean_of_all(run):
    alone, helped = (float(word) for word in re.findall(r"0\.\d+", run("virtual_node")))
    assert alone > 10 * helped
