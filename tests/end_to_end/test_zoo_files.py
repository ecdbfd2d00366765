"""Built-in models of every kind, cut at random, here and there to one channel: the file computes what PyTorch does."""

import numpy as np
import pytest
import torch
from torch import nn

from condensa_core.export import check_parity, export_onnx
from condensa_core.graph import analyse
from condensa_core.materialise import BatchNormFolding, check_equivalence, masked, shrink
from condensa_core.schemes import Filter, Structure, Target
from condensa_core.workload import ZOO, zoo_model

AS_OTHERS = {"resnet32", "resnet110"}  # the blocks of resnet20 and resnet56, in other numbers
SHAPES = {"lenet300": (1, 28, 28), "lenet5": (1, 28, 28), "small-cnn": (1, 8, 8)}


def randomised(model: nn.Module) -> nn.Module:
    """Statistics and affine parameters as after training: equal ones would hide a wrong index."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.5), (module.running_var, 0.5)):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
            with torch.no_grad():
                module.weight.copy_(torch.rand(module.weight.shape, generator=generator) + 0.5)
                module.bias.copy_(torch.rand(module.bias.shape, generator=generator) - 0.5)
    return model.eval()


@pytest.mark.parametrize("name", sorted(ZOO.keys() - AS_OTHERS))
def test_the_file_of_the_cut_model_is_the_cut_model(name, tmp_path):
    torch.manual_seed(0)
    shape = SHAPES.get(name, (3, 32, 32))
    model, example = randomised(zoo_model(name, 10, shape, {})), (torch.randn(2, *shape),)
    graph = analyse(model, example)
    fold = BatchNormFolding()
    reference = export_onnx(fold(model, example), example, tmp_path / "reference.onnx")
    draw = np.random.default_rng(1)
    keep = {}
    for number, family in enumerate(graph.families):  # half of the channels in turns with a single one
        kept = draw.random(family.size) < (0 if number % 2 else 0.5)
        kept[draw.integers(family.size)] = True
        keep[family.name] = kept

    small = shrink(model, graph, keep)

    assert check_equivalence(masked(model, graph, keep), small, example) <= 1e-10
    folded = fold(small, example)
    file = export_onnx(folded, example, tmp_path / "small.onnx", like=reference)
    parity = check_parity(file.path, folded, [(torch.randn(5, *shape),)], tolerance=1e-4)
    assert parity.ok and file.size_bytes < reference.size_bytes


def test_ninety_percent_of_an_untrained_vgg19_leaves_every_layer_alive():
    torch.manual_seed(0)
    model = zoo_model("vgg19-bn", 10, (3, 32, 32), {})
    graph = analyse(model, (torch.randn(2, 3, 32, 32),))
    tensors = {name: p.detach() for name, p in model.named_parameters()}

    for scheme in (Filter(0.9), Structure(0.9)):
        keep = scheme.project(Target(tensors, graph.families)).keep
        alive = {name: int(mask.sum()) for name, mask in keep.items()}
        total = sum(mask.size for mask in keep.values())
        assert len(alive) == 16 and min(alive.values()) >= 2  # the ancestor left 0 of 64 in the first layer
        assert sum(alive.values()) == total - round(0.9 * total)
