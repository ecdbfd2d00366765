"""What a trial would tell, as BoTorch acquisition functions. Loads BoTorch: import it only where it is used."""

from __future__ import annotations

import torch
from botorch.acquisition import AnalyticAcquisitionFunction
from botorch.models.model import Model
from botorch.utils.transforms import average_over_ensemble_models, t_batch_mode_transform


class ILSUCB(AnalyticAcquisitionFunction):
    """(1 - gamma) sigma(x) - gamma |mu(x) - level|: uncertain and near the level set scores high.

    gamma in [0, 1]; 0 samples where the model knows least, 1 where its mean meets the level.
    Source: Garg et al., "Tumor localization using automated palpation with Gaussian process adaptive sampling",
    CASE 2016; used for the accuracy of compressed models by Joseph et al., arXiv 1911.02497v1.
    """

    def __init__(self, model: Model, level: float, gamma: float) -> None:
        super().__init__(model=model)
        self.level = level
        self.gamma = gamma

    @t_batch_mode_transform(expected_q=1)
    @average_over_ensemble_models  # type: ignore[arg-type]  # typed for the base class only
    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """The score of each of b designs; `X` is b x 1 x d."""
        mean, sigma = self._mean_and_sigma(X)  # b x 1 each
        assert sigma is not None
        return ((1 - self.gamma) * sigma - self.gamma * (mean - self.level).abs()).squeeze(-1)
