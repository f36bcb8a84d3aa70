"""Rows of a table: statistics of the whole stream, categories never seen, values that miss."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.batch import Batch
from perdure.errors import InvalidValue
from perdure.learner import Learner
from perdure.methods import EWC
from perdure.nets import MLP, Classifier, GrowingHead, Tabular, encoder
from perdure.nets.encoders import Standardise


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(0, 2**31))
def test_numbers_are_standardised_over_all_rows_seen(sizes, seed):
    """However they come in batches, and where some miss: mean and deviation of those there are."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(sum(sizes), 3, generator=generator) * torch.tensor([1.0, 10, 100]) + 5
    x[torch.rand(len(x), 3, generator=generator) < 0.3] = torch.nan
    layer = Standardise(3)
    for part in x.split(sizes):
        layer(part)
    for column in range(3):
        there = x[:, column][~x[:, column].isnan()]
        if len(there):
            close = {"rtol": 1e-3, "atol": 1e-3}
            torch.testing.assert_close(there.mean(), layer.mean[column], **close)
            variance = there.var(unbiased=False)
            torch.testing.assert_close(variance, layer.variance[column], **close)


def test_a_question_changes_no_statistics():
    """In evaluation mode the layer only looks; a constant column and an outlier do no harm."""
    layer = Standardise(2)
    layer(torch.tensor([[1.0, 3.0]] * 5))
    layer.eval()
    before = layer.mean.clone()
    assert [[0.0, 10.0]] == layer(torch.tensor([[1.0, 1e30]])).tolist()
    assert torch.equal(before, layer.mean)


def test_a_missing_number_is_the_mean_and_is_said_to_be_missing():
    """One column more a number; the others of its row are as they were."""
    table = Tabular([1, 1, 5], width=2)
    table(torch.tensor([[1.0, 10.0, 0.0], [3.0, 30.0, 1.0]]))
    table.eval()
    features = table(torch.tensor([[torch.nan, 30.0, 1.0]]))[0]
    assert [0.0, 1.0, 0.0] == features[[0, 2, 3]].tolist()
    torch.testing.assert_close(torch.tensor(1.0), features[1], rtol=1e-4, atol=1e-4)


def test_each_category_has_vectors_of_its_own_and_unseen_ones_too():
    """In any order of columns; codes beyond the known ids are taken modulo their number."""
    table = Tabular([3, 1, 4], width=2)
    assert 7 == table.embedding.num_embeddings
    vectors = table.embedding.weight
    features = table(torch.tensor([[2.0, 0.5, 3.0], [5.0, 0.5, 4.0], [torch.nan, 0.5, 0.0]]))
    assert torch.equal(vectors[[2, 2, 0]], features[:, 2:4])
    assert torch.equal(vectors[[6, 3, 3]], features[:, 4:6])
    assert (3, table.out_features) == features.shape


@pytest.mark.parametrize("columns", [[1], [9], [9, 1, 9]])
def test_a_table_may_be_all_numbers_or_all_categories(columns):
    """It learns from either, and what matters to its answers is measured."""
    backbone = torch.nn.Sequential(encoder("tabular", columns=columns))
    width = backbone[0].out_features
    model = Classifier(torch.nn.Sequential(*backbone, MLP(width, (8,))), GrowingHead(8))
    learner = Learner(model, EWC(strength=1.0))
    x = torch.arange(6.0)[:, None].repeat(1, len(columns))
    rows = Batch(x, torch.tensor([0, 1, 0, 1, 0, 1]))
    learner.observe(rows)
    learner.consolidate([rows])
    assert float(learner.observe(rows.seen()).terms["ewc"]) >= 0
    assert (6, 2) == learner.predict(x).shape


def test_what_cannot_be_is_refused():
    """With the value and what to give instead."""
    for columns in ([], [1, 0]):
        with pytest.raises(InvalidValue, match="columns is"):
            encoder("tabular", columns=columns)
    with pytest.raises(InvalidValue, match="width is 0"):
        Tabular([1], width=0)
    with pytest.raises(InvalidValue, match="kind is 'sound'"):
        encoder("sound")
