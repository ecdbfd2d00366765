"""How every model of the zoo starts: signals keep their size through ReLU layers."""

from __future__ import annotations

from torch import nn


def initialise(model: nn.Module) -> None:
    """He-normal (fan-out) convolutions, He-normal (fan-in) linear layers, zero biases, unit BatchNorm; in place.

    The last linear layer feeds no ReLU and starts small, so that the first losses are near ln(classes). Embeddings
    start at a tenth of the usual size: a decoder may share them. LSTMs keep torch's uniform draws.
    Source: He et al., ICCV 2015, section 2.2.
    """
    last = None
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            last = module
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)
    if last is not None:
        nn.init.normal_(last.weight, std=0.01)
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.1)
