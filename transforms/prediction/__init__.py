"""Predictions: images or stored features in, tables of scores out; and how right they are."""

from transforms.prediction.output_file import OutputFormat, spreadsheet_texts, write_output_file
from transforms.prediction.predict import Prediction
from transforms.prediction.report import PredictedRows, predictions_html

__all__ = [
    "OutputFormat",
    "PredictedRows",
    "Prediction",
    "predictions_html",
    "spreadsheet_texts",
    "write_output_file",
]
