"""What a defect of the weights changes in the answers of a served network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

# Rows that damaged networks answer.
NUM_DAMAGED = 128


def defects(model: Path, transformed: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """(the defect, probabilities of the served network with it), "none" first."""
    import tensorflow as tf

    from components.exporter.folded import FoldedNetwork
    from seqline.model import network

    trained, spec = network.load(model)
    weights = {layer.name: layer.get_weights() for layer in trained.layers if layer.weights}
    content, length = (
        transformed["values" if spec.dim else "ids"][:NUM_DAMAGED],
        transformed["length"][:NUM_DAMAGED],
    )
    served = FoldedNetwork(spec, weights)

    def answer(network: FoldedNetwork) -> np.ndarray:
        function = tf.function(network.probabilities, autograph=False, reduce_retracing=True)
        return function(content, length).numpy()

    compiled = tf.function(served.probabilities, autograph=False, reduce_retracing=True)

    def with_weights(changed: dict[str, list[np.ndarray]]) -> np.ndarray:
        other = FoldedNetwork(spec, changed)
        for variable, value in zip(served.variables, other.variables, strict=True):
            variable.assign(value)
        return compiled(content, length).numpy()

    yield "none", with_weights(weights)
    random = np.random.default_rng(0)
    for layer, values in weights.items():
        if layer == "bigrams":
            continue
        for place, value in enumerate(values):
            kind = (
                ("kernel", "bias")
                if layer in ("output", "skip_embedding")
                else ("kernel", "recurrent", "bias")
            )
            what = layer if "embedding" in layer and not spec.dim else f"{layer} {kind[place]}"

            def changed(
                value: np.ndarray, layer: str = layer, place: int = place
            ) -> dict[str, list[np.ndarray]]:
                return {
                    **weights,
                    layer: [
                        value if number == place else each
                        for number, each in enumerate(weights[layer])
                    ],
                }

            if value.ndim == 1:
                one = np.zeros_like(value)
                one[len(one) // 2] = 1e-3
                yield f"{what}: one entry + 1e-3", with_weights(changed(value + one))
                continue

            yield f"{what} * 1.001", with_weights(changed(value * np.float32(1.001)))
            noise = random.normal(size=value.shape)
            yield (
                f"{what} * (1 + noise of 1e-3)",
                with_weights(changed((value * (1 + 1e-3 * noise)).astype(np.float32))),
            )

            if "embedding" in layer and not spec.dim:
                yield (
                    f"{what}: rows shifted by one",
                    with_weights(changed(np.roll(value, 1, axis=0))),
                )
                swapped = value.copy()
                one, other = (20, 40) if len(value) > 40 else (3, 6)  # characters are few
                swapped[[one, other]] = swapped[[other, one]]
                yield f"{what}: tokens {one} and {other} swapped", with_weights(changed(swapped))

    if spec.masking or not spec.dim:
        turned = FoldedNetwork(spec, weights)
        for direction in turned.layers[-1][:1]:
            direction.backward = not direction.backward
        yield "a direction reversed", answer(turned)
