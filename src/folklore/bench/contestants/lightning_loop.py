"""Lightning with a DataLoader, as its documentation has it, everything that is optional switched off."""

from __future__ import annotations

import logging
import time
import warnings
from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from folklore.bench.clocks import Updates
from folklore.bench.contestants import plain
from folklore.grid import Run

REQUIRES = "lightning"
OPTIONAL = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")


def clock(run: Run, data: SimpleNamespace) -> Updates:
    import lightning

    for name in ("lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    rows = TensorDataset(torch.from_numpy(data.pool_x), torch.from_numpy(data.pool_y))

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = plain.net(run)
            self.began = self.ended = 0.0

        def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
            x, y = batch
            return nn.functional.cross_entropy(self.net(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return plain.optimizer_of(run, self.net, "foreach")

        def on_train_start(self) -> None:
            self.began = time.process_time()

        def on_train_end(self) -> None:
            self.ended = time.process_time()

    def measure(updates: int) -> float:
        module, loader = Module(), DataLoader(rows, batch_size=run.batch_size, shuffle=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice about workers and about a missing validation loop
            trainer = lightning.Trainer(
                max_steps=updates, accelerator="cpu", devices=1, **dict.fromkeys(OPTIONAL, False)
            )
            trainer.fit(module, loader)
        return (module.ended - module.began) / updates * 1e6

    return measure
