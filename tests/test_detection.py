"""Detection: boxes that agree, sets that are matched, and DETR."""

import re
from itertools import permutations

import pytest
import torch
from torch import nn

import geodl as g
from geodl import GeodlError
from geodl.data import ABSENT
from geodl.data.boxes import check_objects, corners, generalized_iou
from geodl.layer.position import sinusoidal
from geodl.models.detr import Predictions, read_predictions
from geodl.testing import error, outcome
from geodl.train.detection import found_objects
from geodl.train.set_loss import match, set_loss

# What torchvision.ops.generalized_box_iou gives for these boxes.
TORCHVISION = [
    ((0.5, 0.5, 0.4, 0.4), (0.5, 0.5, 0.4, 0.4), 1.0),
    ((0.5, 0.5, 0.4, 0.4), (0.6, 0.5, 0.4, 0.4), 0.6),
    ((0.5, 0.5, 0.4, 0.4), (0.5, 0.5, 0.2, 0.1), 0.125),
    ((0.2, 0.2, 0.2, 0.2), (0.8, 0.8, 0.2, 0.2), -0.875),
    ((0.2, 0.3, 0.4, 0.2), (0.45, 0.4, 0.3, 0.5), -0.20476190476190476),
    ((0.25, 0.5, 0.5, 1.0), (0.75, 0.5, 0.5, 1.0), 0.0),
    ((0.1, 0.9, 0.2, 0.1), (0.15, 0.85, 0.3, 0.3), 0.2222222222222224),
]


@pytest.mark.parametrize(("one", "other", "wanted"), TORCHVISION)
def test_generalized_iou_is_torchvisions(one, other, wanted):
    a, b = (torch.tensor(box, dtype=torch.float64) for box in (one, other))
    assert abs(float(generalized_iou(a, b)) - wanted) < 1e-12
    assert abs(float(generalized_iou(b, a)) - wanted) < 1e-12


def test_generalized_iou_is_differentiable_and_pulls_boxes_apart_together():
    one = torch.tensor([[0.2, 0.3, 0.4, 0.2]], dtype=torch.float64, requires_grad=True)
    other = torch.tensor([[0.45, 0.4, 0.3, 0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generalized_iou, (one, other))
    apart = torch.tensor([0.1, 0.5, 0.1, 0.1], requires_grad=True)
    generalized_iou(apart, torch.tensor([0.8, 0.5, 0.1, 0.1])).backward()
    assert apart.grad is not None and apart.grad[0] > 0, "to the right, where the other is"


def random_predictions(batch=2, layers=2, queries=5, classes=3, seed=0):
    torch.manual_seed(seed)
    logits = torch.randn(batch, layers, queries, classes + 1, dtype=torch.float64)
    boxes = torch.rand(batch, layers, queries, 4, dtype=torch.float64) * 0.4 + 0.3
    return Predictions(logits, boxes)


def truth():
    labels = torch.tensor([[0, ABSENT, 2, 1], [ABSENT, 1, ABSENT, ABSENT]])
    boxes = torch.rand(2, 4, 4, dtype=torch.float64) * 0.2 + 0.4
    boxes[labels == ABSENT] = 0.0
    return labels, boxes


def test_the_assignment_is_the_cheapest_of_all():
    predictions, (labels, boxes) = random_predictions(), truth()
    chosen = match(predictions, labels, boxes)
    for scene in range(2):
        things = [k for k in range(4) if labels[scene, k] != ABSENT]
        for layer in range(2):
            p = predictions.logits[scene, layer].softmax(-1)

            def cost(query, thing, scene=scene, layer=layer, p=p):
                one, other = predictions.boxes[scene, layer, query], boxes[scene, thing]
                far = (one - other).abs().sum()
                return 5 * far - 2 * generalized_iou(one, other) - p[query, labels[scene, thing]]

            def total(queries, things=things, cost=cost):
                return float(sum(map(cost, queries, things)))

            here = (chosen.scene == scene) & (chosen.layer == layer)
            found = dict(
                zip(chosen.object[here].tolist(), chosen.query[here].tolist(), strict=True)
            )
            assert sorted(found) == things
            best = min(map(total, permutations(range(5), len(things))))
            assert abs(total([found[thing] for thing in things]) - best) < 1e-9


def test_the_order_of_queries_and_objects_means_nothing():
    predictions, (labels, boxes) = random_predictions(), truth()
    wanted = set_loss(predictions, labels, boxes)
    order, other = torch.randperm(5), torch.randperm(4)
    moved = Predictions(predictions.logits[:, :, order], predictions.boxes[:, :, order])
    found = set_loss(moved, labels[:, other], boxes[:, other])
    assert error(found.total, wanted.total) < 1e-12


def test_each_layer_of_the_decoder_has_a_loss_of_its_own():
    predictions, (labels, boxes) = random_predictions(), truth()
    whole = set_loss(predictions, labels, boxes)
    each = []
    for k in range(2):
        one = Predictions(predictions.logits[:, k : k + 1], predictions.boxes[:, k : k + 1])
        each.append(set_loss(one, labels, boxes))
    for name in ("classes", "l1", "giou", "total"):
        mean = (getattr(each[0], name) + getattr(each[1], name)) / 2
        assert error(getattr(whole, name), mean) < 1e-12


def test_a_loss_computed_by_hand():
    # Two queries, of which the first has the box and half of the probability of the object's class.
    box = torch.tensor([0.5, 0.5, 0.2, 0.2])
    away = torch.tensor([0.1, 0.1, 0.2, 0.2])
    logits = torch.tensor([[0.0, -100.0, 0.0], [0.0, 0.0, 0.0]])[None, None]
    predictions = Predictions(logits, torch.stack([box, away])[None, None])
    shifted = box + torch.tensor([0.1, 0.0, 0.0, 0.0])
    loss = set_loss(predictions, torch.tensor([[0]]), shifted[None, None])
    half, third = torch.tensor(2.0).log(), torch.tensor(3.0).log()
    assert error(loss.classes, (half + 0.1 * third) / 1.1) < 1e-6
    assert abs(float(loss.l1) - 0.1) < 1e-6
    assert abs(float(loss.giou) - (1 - 1 / 3)) < 1e-5


def test_scenes_without_objects_are_learnt_from():
    predictions = random_predictions()
    labels = torch.full((2, 4), ABSENT)
    loss = set_loss(predictions, labels, torch.zeros(2, 4, 4, dtype=torch.float64))
    assert loss.l1 == loss.giou == 0 and loss.classes > 0


@pytest.mark.parametrize(
    ("labels", "box", "words"),
    [
        ([0, 1, 2, 0, 1, 2], (0.5, 0.5, 0.2, 0.2), "6 objects in one scene and 5 queries; build"),
        ([0, 7], (0.5, 0.5, 0.2, 0.2), "the class 7 of object 1, which was never seen"),
        ([0, -3], (0.5, 0.5, 0.2, 0.2), "the class -3 of object 1, which was never seen"),
        ([0], (0.5, 0.5, 0.0, 0.2), "an empty box (0.5, 0.5, 0, 0.2) of object 0"),
        ([0], (0.5, 0.5, 0.2, -0.2), "an empty box"),
        ([0], (0.95, 0.5, 0.2, 0.2), "a box outside of the image (0.95, 0.5, 0.2, 0.2)"),
        ([0], (32.0, 32.0, 9.0, 9.0), "give shares of the image"),
        ([0], (float("nan"), 0.5, 0.2, 0.2), "a box that is not finite"),
    ],
)
def test_objects_that_cannot_be_learnt_are_refused(labels, box, words):
    predictions = random_predictions(batch=1)
    boxes = torch.tensor(box, dtype=torch.float64).expand(1, len(labels), 4)
    with pytest.raises(GeodlError, match=re.escape(words)):
        set_loss(predictions, torch.tensor([labels]), boxes)


@pytest.mark.parametrize(
    ("labels", "boxes", "words"),
    [
        (torch.zeros(1, 1).long(), torch.rand(1, 1, 4), "labels [1, 1] and boxes [1, 1, 4]; give"),
        (torch.zeros(3, 1).long(), torch.rand(3, 1, 4), "of the B = 2 scenes"),
        (torch.zeros(2, 1).long(), torch.rand(1, 1, 4), "boxes [1, 1, 4]"),
        (torch.zeros(2, 2).long(), torch.rand(2, 1, 4), "boxes [2, 1, 4]"),
        (torch.zeros(2).long(), torch.rand(2, 4), "labels [2] and boxes [2, 4]"),
        ([[0], [1]], torch.rand(2, 1, 4), "a list of labels"),
    ],
)
def test_nothing_is_broadcast_between_predictions_and_objects(labels, boxes, words):
    with pytest.raises(GeodlError, match=re.escape(words)):
        set_loss(random_predictions(), labels, boxes)


def test_predictions_of_no_scene_or_of_other_shapes_have_no_loss():
    none = Predictions(torch.zeros(0, 1, 2, 4), torch.zeros(0, 1, 2, 4))
    with pytest.raises(GeodlError, match="no scene; give at least one"):
        set_loss(none, torch.zeros(0, 1).long(), torch.zeros(0, 1, 4))
    other = Predictions(torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 3, 4))
    with pytest.raises(GeodlError, match=re.escape("logits [1, 1, 2, 4] and boxes [1, 1, 3, 4]")):
        set_loss(other, torch.zeros(1, 1).long(), torch.zeros(1, 1, 4))


def test_predictions_in_bfloat16_are_matched():
    predictions, (labels, boxes) = random_predictions(batch=2), truth()
    short = Predictions(*(x.bfloat16() for x in predictions))
    assert set_loss(short, labels, boxes.bfloat16()).total.isfinite()


def test_predictions_that_are_not_finite_are_refused():
    predictions, (labels, boxes) = random_predictions(), truth()
    predictions.logits[0, 0, 0, 0] = float("nan")
    with pytest.raises(GeodlError, match="predictions that are not finite"):
        set_loss(predictions, labels, boxes)


def test_objects_of_other_shapes_are_refused():
    with pytest.raises(GeodlError, match=re.escape("boxes that are not [2, 4]")):
        check_objects("a scene", torch.tensor([0, 1]), torch.rand(3, 4), 5)
    with pytest.raises(GeodlError, match=re.escape("give labels [P]")):
        check_objects("a scene", torch.tensor([0.0]), torch.rand(1, 4), 5)
    check_objects("a scene", torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), 5)


def small(**options):
    torch.manual_seed(0)
    sizes = {"size": 32, "queries": 5, "channels": 16, "heads": 2, "hidden": 16} | options
    return g.models.detr(3, **sizes)


def images(count=2, size=32):
    return g.Signal.image(torch.rand(count, 1, size, size))


def test_detr_predicts_for_each_query_and_layer():
    model = small(decoder_depth=2)
    signal = images()
    predictions = model.predictions(signal)
    assert predictions.logits.shape == (2, 2, 5, 4) and predictions.boxes.shape == (2, 2, 5, 4)
    assert model(signal).domain == g.Chain(5)
    found = found_objects(predictions)
    assert len(found) == 2 and found[0].labels.max() < 3
    assert model.predictions(images(count=0)).boxes.shape == (0, 2, 5, 4)


def test_every_parameter_of_detr_is_learnt():
    model = small()
    torch.manual_seed(1)
    for parameter in model.parameters():
        # The last layer of boxes begins at zero, and what stands before it then learns nothing.
        parameter.data += 0.1 * torch.randn_like(parameter)
    boxes = torch.tensor([0.4, 0.5, 0.2, 0.2]).expand(2, 1, 4)
    set_loss(model.predictions(images()), torch.tensor([[1], [2]]), boxes).total.backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # Queries begin as zeros, which a norm leaves zeros, whatever it multiplies them by.
    assert still == ["decoder.0.inner.0.weight"]


def test_queries_may_stand_in_any_order():
    model = small().double().eval()
    signal = g.Signal.image(torch.rand(2, 1, 32, 32, dtype=torch.float64))
    wanted = model(signal).x
    order = torch.randperm(5)
    tables = [m.weight for m in model.decoder.modules() if isinstance(m, g.LearnedPositions)]
    for table in {id(weight): weight for weight in tables}.values():
        table.data = table.data[order]
    assert error(model(signal).x, wanted[:, order]) < 1e-12


def torchs_attention(layer):
    """torch's own module with the weights of a layer of ours."""
    twin = nn.MultiheadAttention(16, 2, batch_first=True).double()
    weights = {name: x for name, x in layer.state_dict().items() if "positions" not in name}
    twin.load_state_dict(weights)
    return twin


def test_a_block_of_the_decoder_is_torchs_with_positions_on_queries_and_keys_alone():
    model = small().double()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    among, across, network = (model.decoder[k].inner for k in range(3))
    memory = g.Signal(torch.rand(2, 16, 16, dtype=torch.float64), g.Grid(4, 4))
    targets = g.Signal(torch.rand(2, 5, 16, dtype=torch.float64), g.Chain(5))
    asking = among[1].positions[0].weight
    points = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    places = sinusoidal(points, 16, dtype=torch.float64)
    x, senders = targets.x, memory.x
    y = among[0](x)
    x = x + torchs_attention(among[1])(y + asking, y + asking, y)[0]
    y = across[0](x)
    x = x + torchs_attention(across[1].layer)(y + asking, senders + places, senders)[0]
    y = x
    for layer in network:
        y = layer(y)
    ours = g.Sequential(*(model.decoder[k] for k in range(3)))(targets, memory).x
    assert error(ours, x + y) < 1e-10


def test_functional_gradients_are_those_of_backward_and_leave_the_model_as_it_was():
    model, signal = small().double().eval(), g.Signal.image(torch.rand(2, 1, 32, 32).double())
    named = dict(model.named_parameters())

    def squares(parameters):
        return torch.func.functional_call(model, parameters, (signal,)).x.square().sum()

    found = torch.func.grad(squares)(named)
    model(signal).x.square().sum().backward()
    assert max(error(found[name], p.grad) for name, p in named.items()) < 1e-10
    again = dict(model.named_parameters())
    assert again.keys() == named.keys() and all(again[name] is named[name] for name in named)


def test_detr_is_what_the_reference_says():
    model, twin = small().double().eval(), small().double().eval()
    g.set_lowering(twin, "edges")
    signal = g.Signal.image(torch.rand(2, 1, 32, 32, dtype=torch.float64))
    (ours, gradients), (wanted, others) = outcome(model, signal), outcome(twin, signal)
    assert error(ours, wanted) < 1e-10
    assert max(error(a, b) for a, b in zip(gradients.values(), others.values(), strict=True)) < 1e-9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": 30}, "detr(size=30): found nodes of 8 x 8 pixels that do not tile it"),
        ({"queries": 0}, "detr(queries=0): found the size 0; give positive integers"),
        ({"channels": 18}, "18 channels for sines and cosines on 2 axes; give a multiple of 4"),
        ({"heads": 3}, "heads"),
        ({"hidden": 0}, "detr(hidden=0): found the size 0"),
        ({"decoder_depth": 0}, "detr(decoder_depth=0): found the size 0"),
        ({"encoder_depth": -1}, "detr(encoder_depth=-1): found the size -1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, words):
    with pytest.raises(GeodlError, match=re.escape(words)):
        small(**options)


def test_images_of_another_size_are_refused():
    words = "a model of 32 x 32 images called: found Grid(40, 40); give 32 x 32 nodes"
    with pytest.raises(GeodlError, match=re.escape(words)):
        small()(images(size=40))


def test_channels_of_no_detector_are_refused():
    with pytest.raises(GeodlError, match=re.escape("give [B, Q, L 8]")):
        read_predictions(torch.zeros(1, 2, 9), 3)
    with pytest.raises(GeodlError, match=re.escape("a list; give a tensor [B, Q, L 8]")):
        read_predictions([0.0], 3)


def test_corners_of_a_box():
    assert corners(torch.tensor([0.5, 0.25, 0.5, 0.5])).tolist() == [0.25, 0.0, 0.75, 0.5]
    for strange in (torch.zeros(2, 3), torch.zeros(2, 5), torch.tensor(1.0)):
        with pytest.raises(GeodlError, match=re.escape("give (x, y, width, height): [..., 4]")):
            corners(strange)
