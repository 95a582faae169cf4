"""Predictions: images or stored features in, tables of scores out."""

from transforms.prediction.predict import Prediction

__all__ = ["Prediction"]
