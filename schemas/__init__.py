"""What is kept: specs, image refs, fragments, tables and the store that holds them.

This layer imports neither Apache Beam nor TensorFlow, so that reading a feature table costs what PyArrow costs.
"""
