import torch
from torch import nn

from condensa_core.learning import recalibrate_batchnorm
from condensa_core.workload import TensorBatches


def test_statistics_become_those_of_the_batches_and_nothing_else_changes():
    torch.manual_seed(0)
    inputs = torch.randn(64, 3, 4, 4) * 2 + 5
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.BatchNorm2d(3)).train()
    model[1].eval()
    batches = TensorBatches(inputs, torch.zeros(64, dtype=torch.long), batch=16)

    recalibrate_batchnorm(model, batches)

    chunks = inputs.split(16)
    means = torch.stack([c.mean((0, 2, 3)) for c in chunks]).mean(0)
    variances = torch.stack([c.transpose(0, 1).flatten(1).var(1) for c in chunks]).mean(0)
    torch.testing.assert_close(model[0].running_mean, means)
    torch.testing.assert_close(model[0].running_var, variances)
    assert model[0].momentum == 0.1
    assert model[0].training and model[2].training and not model[1].training


def test_a_model_without_batchnorm_sees_no_data():
    class Untouchable(TensorBatches):
        def epoch(self, number):
            raise AssertionError("data was read")

    batches = Untouchable(torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), batch=2)
    recalibrate_batchnorm(nn.Linear(3, 2), batches)
