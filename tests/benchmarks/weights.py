"""Weights that everybody loads: random ones from a fixed seed, in one file a conv base.

    python -m tests.benchmarks.weights --conv_base=MobileNet --side=224 --output=MobileNet.weights.h5

Random weights cost what pretrained ones cost, and need no download.
"""

import argparse


def main() -> None:
    """Builds a conv base with random weights and writes them."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--conv_base", required=True)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--output", required=True)
    given = parser.parse_args()
    import keras

    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, given.conv_base)
    build(include_top=False, weights=None, input_shape=(given.side, given.side, 3)).save_weights(given.output)


if __name__ == "__main__":
    main()
