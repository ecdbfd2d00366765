"""A recurrent language model: embedding, LSTM, decoder.

Source: Zaremba et al., Recurrent Neural Network Regularization, arXiv:1409.2329; tied weights: Inan et al., ICLR 2017.
"""

from __future__ import annotations

from torch import Tensor, nn

from condensa_core.errors import WorkloadError
from condensa_core.workload.zoo.token_shape import check_counts, check_dropout, window_length


class LstmLM(nn.Module):
    """`embedding`, `lstm`, `projection` (tied weights of another width only), `decoder`; b x t ids in, b x t x classes
    scores out. Every sample starts from the state zero."""

    def __init__(self, classes: int, embedding: int, hidden: int, layers: int, dropout: float, tied: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.projection = nn.Linear(hidden, embedding) if tied and hidden != embedding else nn.Identity()
        self.decoder = nn.Linear(embedding if tied else hidden, classes)
        if tied:
            self.decoder.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Tensor:
        states, _ = self.lstm(self.dropout(self.embedding(ids)))
        return self.decoder(self.projection(self.dropout(states)))


def lstm_lm(
    classes: int,
    input_shape: tuple[int, ...],
    embedding: int = 128,
    hidden: int = 320,
    layers: int = 1,
    dropout: float = 0.0,
    tied: bool = False,
) -> nn.Module:
    """`layers` LSTM layers of `hidden` units over an embedding: 691,200 parameters for 256 classes.

    `tied` gives the decoder the embedding's weights, behind a linear layer where `hidden` and `embedding` differ.
    """
    window_length("lstm-lm", input_shape)
    check_counts("lstm-lm", embedding=embedding, hidden=hidden, layers=layers)
    check_dropout("lstm-lm", dropout)
    if not isinstance(tied, bool):
        raise WorkloadError(f"lstm-lm: tied must be true or false, got {tied!r}")
    return LstmLM(classes, embedding, hidden, layers, dropout, tied)
