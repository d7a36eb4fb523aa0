"""The rule of rotary embeddings: a rotation is undone by turning the other way."""

from collections.abc import Sequence

from onnxsplit.autodiff.sites import Site
from onnxsplit.autodiff.table import rule


@rule("RotaryEmbedding", inputs=(0,))
def differentiate_rotary_embedding(at: Site) -> Sequence[str | None]:
    """Rotate the gradient by the same angles backwards; the tables of angles are constants."""
    _, cosine, sine, *places = at.inputs
    return [
        at.emit(
            "RotaryEmbedding",
            at.gradient(),
            cosine,
            at.emit("Neg", sine),
            *places,
            interleaved=at.attribute("interleaved", 0),
            num_heads=at.attribute("num_heads", 0),
            rotary_embedding_dim=at.attribute("rotary_embedding_dim", 0),
        )
    ]
