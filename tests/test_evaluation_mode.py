"""`evaluating` leaves a model as it found it, module by module."""

import pytest
import torch
from torch import nn

from condensa_core.errors import WorkloadError
from condensa_core.evaluation_mode import evaluating


def test_every_module_gets_back_the_flag_it_had_also_after_an_error():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(nn.Dropout(), nn.Linear(2, 2)))
    model[0].eval()  # a norm that its user froze
    flags = [module.training for module in model.modules()]

    with pytest.raises(ZeroDivisionError), evaluating(model):
        inside = [module.training for module in model.modules()]
        raise ZeroDivisionError

    assert inside == [False] * 5
    assert [module.training for module in model.modules()] == flags == [True, False, True, True, True]


def test_an_exported_program_is_refused_with_what_to_give_instead():
    program = torch.export.export(nn.Linear(2, 2).eval(), (torch.zeros(2, 2),)).module()

    with pytest.raises(WorkloadError, match="no evaluation mode") as caught, evaluating(program):
        pass

    assert "the model that it was made of" in caught.value.hint
