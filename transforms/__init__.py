"""The steps an image goes through, as pure functions, and the Beam transforms that carry them."""
