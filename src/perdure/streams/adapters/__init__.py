"""Other people's data sets and benchmarks, as streams of ours."""

from perdure.streams.adapters.avalanche import avalanche
from perdure.streams.adapters.continuum import continuum
from perdure.streams.adapters.hugging_face import hugging_face
from perdure.streams.adapters.river import river

__all__ = ["avalanche", "continuum", "hugging_face", "river"]
