"""Fine-tuning the last layers of a conv base together with its classifier, on pictures, with checkpoints."""

from transforms.finetuning.checkpoints import Checkpoint, holds_checkpoint, remove_checkpoint
from transforms.finetuning.dataset import LabelledPictures
from transforms.finetuning.fit import FineTuned, fine_tune, log_loss_of_frequencies, score_split
from transforms.finetuning.pictures import PICTURES_PER_BATCH, LeftOut, Pictures, list_images, read_pictures
from transforms.finetuning.unfreezing import TrainableNetwork, gpu_takes_bfloat16, open_network, unfreeze

__all__ = [
    "PICTURES_PER_BATCH",
    "Checkpoint",
    "FineTuned",
    "LabelledPictures",
    "LeftOut",
    "Pictures",
    "TrainableNetwork",
    "fine_tune",
    "gpu_takes_bfloat16",
    "holds_checkpoint",
    "list_images",
    "log_loss_of_frequencies",
    "open_network",
    "read_pictures",
    "remove_checkpoint",
    "score_split",
    "unfreeze",
]
