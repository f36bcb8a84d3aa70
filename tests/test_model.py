"""What perdure asks of a model, and tensors that stand in for a model's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from perdure import nets
from perdure.model import HasFeatures, Substitution, takes_task


class Tied(nn.Module):
    """One weight in two places, dropout, running statistics and a buffer that is not saved."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm, self.dropout = nn.BatchNorm1d(4), nn.Dropout(0.5)
        self.register_buffer("offset", torch.ones(4), persistent=False)
        self.register_buffer("absent", None)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.dropout(self.norm(self.first(x)))) + self.offset


class Last(nn.Module):
    """The last state of a recurrent network, which keeps its weights in a list of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(2, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.cell(x.view(-1, 2, 2))[0][:, -1]


MODELS = {
    "tied": Tied,
    "recurrent": Last,
    "parametrised": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)),
    "classifier": lambda: nets.Classifier(nets.MLP(4, (5,)), nets.FixedHead(5, 2)),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_substitution_answers_as_functional_call_does(make) -> None:
    """In evaluation mode, tied weights together; and then the model is bit for bit as before."""
    torch.manual_seed(0)
    model, x = make(), torch.randn(6, 4)
    model.train()
    model(x)
    other = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    other |= {n: 1 + torch.rand_like(b.float()) for n, b in model.named_buffers()}
    before = [(n, id(p), p.clone()) for n, p in (*model.named_parameters(), *model.named_buffers())]
    with torch.no_grad():
        expected = functional_call(model.eval(), other, (x,))
        model.train()
        with Substitution(model).of(other):
            assert not any(module.training for module in model.modules())
            found = model(x)
    assert torch.equal(expected, found)
    assert all(module.training for module in model.modules())
    after = dict((*model.named_parameters(), *model.named_buffers()))
    assert all(id(after[n]) == at and torch.equal(after[n], held) for n, at, held in before)


def test_each_module_returns_to_its_own_mode_and_tensors_after_an_error() -> None:
    """A part that was frozen in evaluation mode stays so, whatever happens in between."""
    model = Tied()
    model.norm.eval()
    weight = model.first.weight
    with (
        pytest.raises(RuntimeError, match="shapes"),
        Substitution(model).of({"first.weight": torch.zeros(3, 3)}),
    ):
        model(torch.zeros(2, 4))
    assert model.first.weight is model.second.weight is weight
    assert [model.training, model.norm.training, model.dropout.training] == [True, False, True]


def test_names_that_are_not_given_keep_what_they_hold() -> None:
    """Only the bias is another one."""
    model = nn.Linear(2, 2)
    x = torch.randn(3, 2)
    with torch.no_grad(), Substitution(model).of({"bias": torch.zeros(2)}):
        torch.testing.assert_close(model(x), x @ model.weight.T)


def test_what_a_model_offers_is_asked_of_the_model() -> None:
    """Task ids and features are optional."""
    head = nets.MultiHead(5, {0: 2})
    assert takes_task(nets.Classifier(nets.MLP(4, (5,)), head))
    assert not takes_task(nn.Linear(1, 1))
    assert isinstance(nets.Classifier(nets.MLP(4, (5,)), head), HasFeatures)
    assert not isinstance(nn.Linear(1, 1), HasFeatures)
