"""The live loop: a model that keeps learning in production, and never loses anything."""

from perdure.errors import require

require("pydantic", "live")
