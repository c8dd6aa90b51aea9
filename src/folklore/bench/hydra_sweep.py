"""The way of the templates: Hydra composes each run of a sweep, a plain loop trains it, MLflow logs it.

`python -m folklore.bench.hydra_sweep --multirun seed=range(20)`; measured by `folklore.bench.pipelines`.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before mlflow is imported

import hydra
import mlflow
import torch
from hydra.core.config_store import ConfigStore

from folklore.bench import nets
from folklore.bench.clocks import one_core
from folklore.bench.contestants import plain
from folklore.bench.pipelines import RUN

EVERY = 13  # updates of a point of the loss curve: ten of an epoch


@dataclass
class Settings:
    seed: int = 0
    lr: float = RUN.lr
    depth: int = RUN.depth
    width: int = RUN.width
    batch_size: int = RUN.batch_size
    updates: int = RUN.updates


ConfigStore.instance().store(name="sweep", node=Settings)


@hydra.main(version_base=None, config_name="sweep")
def main(settings: Settings) -> None:
    one_core()
    torch.manual_seed(settings.seed)
    run = replace(RUN, **{name: settings[name] for name in asdict(Settings())})
    data = nets.synthetic(run)
    x, y = torch.from_numpy(data.pool_x), torch.from_numpy(data.pool_y)
    net = plain.net(run)
    optimizer = plain.optimizer_of(run, net, "foreach")
    mlflow.set_experiment("sweep")
    with mlflow.start_run():
        mlflow.log_params(dict(settings))
        order = torch.randperm(nets.ROWS)
        for i, rows in enumerate(order.split(run.batch_size)):
            loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if (i + 1) % EVERY == 0:
                mlflow.log_metric("loss", loss.item(), step=i + 1)
        with torch.no_grad():
            right = net(x[:512]).argmax(1) == y[:512]
        mlflow.log_metrics({"train_loss": loss.item(), "accuracy": float(right.float().mean())})


if __name__ == "__main__":
    main()
