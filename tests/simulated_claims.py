"""What the simulated studies know of each claim: how its runs' columns follow from their latents, and which arms it favours.

That is stated here, apart from the claims' own code: a judge that mixed up a sign would otherwise pass with its direction read off
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

ACCURACY, CHANCE, POINTS = 0.6, 0.1, 40
Signs = Mapping[object, float]


def write_scores(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """Accuracy rises with the latent; the time to the target loss halves for each unit of it."""
    frame["val_accuracy"] = np.clip(ACCURACY + z, 0, 1)
    scored = frame["score_test"].to_numpy()
    frame["test_accuracy"] = np.where(scored, frame["val_accuracy"], np.nan)
    frame["recalibrated_accuracy"] = np.where(
        scored & (frame["norm"] == "batch"), frame["val_accuracy"], np.nan
    )
    frame["train_loss"] = np.exp(-z)
    share = (np.arange(POINTS) + 1) / POINTS
    time = 0.3 * 2.0**-z  # of the budget
    frame["loss_curve"] = list(target * np.sqrt(time[:, None] / share))


def write_ranges(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is the width, in octaves, of the range of rates that work; the others stay at chance."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    octave = np.log2(frame["lr"] / frame.groupby("batch_size")["lr"].transform("median")).to_numpy()
    middle = rng.random(len(frame))[frame["unit"]] - 0.5
    fine = np.abs(octave - middle) < (5 + z) / 2
    frame["val_accuracy"] = np.where(fine, ACCURACY, CHANCE)


def write_limits(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is log2 of the highest rate that learns, counted from the middle of the grid."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    octave = np.log2(frame["lr"]) - np.log2(frame["lr"]).median()
    frame["train_loss"] = np.where(octave <= z + 0.5, 1.0, 2.3)


def write_gradients(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is the decades that the gradient loses in each layer, which also costs accuracy."""
    write_scores(frame, -z, target, rng)
    depth = frame["depth"].to_numpy()
    frame["grad_norms"] = [
        list(10.0 ** (-lost * np.arange(d - 1, -2, -1))) for lost, d in zip(z, depth, strict=True)
    ]


def write_flow(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent adds to half a decade that the gradient loses in each layer: a loss, whatever the latent's sign."""
    write_gradients(frame, 0.5 + z, target, rng)


def write_gain(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is what recalibrated statistics add to the accuracy."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    frame["recalibrated_accuracy"] = frame["test_accuracy"] + z


def write_weights(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent raises the accuracy, the zeros, the agreement of twins and how well silent inputs are told; it halves norms and takes
    an average input's share of weight, of 41, off an input that sticks out."""
    write_scores(frame, z, target, rng)
    frame["measures"] = [
        {
            "norm": 8 * 2.0**-v,
            "found": 0.7 + v,
            "zeros": 0.3 + v,
            "agreement": 0.5 + v,
            "weight_share": (2 - v) / 41,
        }
        for v in z
    ]


def write_work(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is log2 of the work to the target, half an octave more where a net grows: the middle between once and twice."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    octaves = 20 + z + 0.5 * (frame["arm"] == "4 to 64 units").to_numpy()
    frame["measures"] = [
        {"operations": 2.0**v, "arrived": 1.0, "jump": 0.01, "jump_random": 0.1} for v in octaves
    ]


def write_regret(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """Accuracies, those of a tenth of the rate lower by the regret that is tolerated."""
    write_scores(frame, z - 0.01 * (frame["arm"] == ".1 x").to_numpy(), target, rng)


def write_noise(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is log2 of what noise on the weights does to the loss."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    frame["measures"] = [
        {"loss_change": 0.002 * 2.0**v, "accuracy_lost": 0.0, "loss_unchanged": 0.5} for v in z
    ]


def write_ensemble(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is what the scaled net has more accuracy than the mean of the nets that it stands for."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    names = ("ensemble_accuracy", "geometric_accuracy", "single_accuracy")
    frame["measures"] = [dict.fromkeys(names, 0.5) | {"scaled_accuracy": 0.5 + v} for v in z]


def write_removed(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is accuracy that is left, of .6, when units are removed, beyond .4."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    names = [f"{how}_{percent}" for how in ("removed", "rescaled") for percent in (10, 20, 50)]
    frame["measures"] = [
        dict.fromkeys(names, 0.4 + v) | {"whole_accuracy": 0.6, "correlation": 0.1} for v in z
    ]


def write_shift(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent adds to the octaves, 2 without it, by which the running variance exceeds that in use at the later layers."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    frame["measures"] = [
        {"variance_shift_0": 0.0} | {f"variance_shift_{i}": -2 - v for i in (1, 2)} for v in z
    ]


def write_gap(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is the gap between training rows, on which all do well, and test rows."""
    write_scores(frame, -z, target, rng)
    frame["measures"] = [{"training_accuracy": 0.99, "training_loss": 0.01}] * len(frame)


def write_passes(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent adds to the share of seeds that pass: half of the healthy net's, and by chance hardly any or nearly all elsewhere."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    arms = pd.unique(frame["arm"])
    level = dict(zip(arms, rng.choice([2 / 32, 30 / 32], len(arms)), strict=True)) | {"healthy": 0.5}
    share = frame["arm"].map(level).to_numpy(dtype=float) + frame.assign(z=z).groupby("arm")["z"].transform(
        "mean"
    )
    place = (frame["replicate"] + 0.5) / (frame["replicate"].max() + 1)
    frame["measures"] = [
        {"training_accuracy": 1.0 if p < s else 0.5} for p, s in zip(place, share, strict=True)
    ]


def write_rates(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """Validation always chooses the rate .487; the loss of a rising rate turns at .24, whose half, .127, has the tolerated regret."""
    write_scores(frame, z - 0.01 * np.isclose(frame["lr"], 0.127), target, rng)
    frame["val_accuracy"] = np.where(np.isclose(frame["lr"], 0.487), 0.9, 0.5)
    tested = (frame["schedule"] == "range_test").to_numpy()
    rates = 10 * 1e-5 ** (1 - (np.arange(POINTS) + 1) / POINTS)
    turning = list(1 + abs(np.log10(rates / 0.24)))
    frame["loss_curve"] = [turning if t else c for t, c in zip(tested, frame["loss_curve"], strict=True)]


def write_curves(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """Accuracies, and a gap between the losses where there are few rows."""
    write_scores(frame, z, target, rng)
    frame["val_loss"] = frame["train_loss"] + np.where(frame["n_train"] < 512, 3.0, 0.1)


def write_updates(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is a tenth of the distance of an early update from a thousandth, beside noise; every second arm stalls."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    frame["train_loss"] = np.where(frame["arm"].isin(STALLED), 2.3, 1.0)
    ratio = -8.0 - 10 * z - rng.standard_normal(len(frame))
    frame["measures"] = [{"log_update_ratio": v} for v in ratio]


def write_folds(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """Five folds always choose one model, the first of them another."""
    write_scores(frame, z, target, rng)
    chosen = {"ELU, width 100, rate 0.2": (0.9, 0.1), "ReLU, width 30, rate 0.05": (0.1, 0.9)}
    found = [chosen.get(arm, (0.5, 0.5)) for arm in frame["arm"]]
    frame["measures"] = [{"cv_accuracy": folds, "split_accuracy": split} for folds, split in found]


def write_matched(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """Accuracy rises with the latent; every run reached the training loss at which it was stopped."""
    write_scores(frame, z, target, rng)
    frame["measures"] = [
        {"stopped_at": 300.0, "stopped_loss": 0.4, "matched_accuracy": a} for a in frame["val_accuracy"]
    ]


def write_descent(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent adds to the powers of ten by which a run's functions fall."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    frame["measures"] = [{"decades": 3.0 + value} for value in z]


def write_dead(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent adds to a share of .3 of dead units."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    looked = (frame["probe"] == "dead").to_numpy()
    frame["measures"] = [
        {"dead_share": 0.3 + v, "dead_net": 0.0} if on else {} for v, on in zip(z, looked, strict=True)
    ]


def write_deaths(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """Accuracies; one net in eight had not died, does well and does not count."""
    alive = (frame["procedure"] != "once").to_numpy() & (frame["replicate"] % 8 == 7).to_numpy()
    write_scores(frame, np.where(alive, 0.3, z), target, rng)
    frame["measures"] = [{"died": float(not well)} for well in alive]


def write_lengths(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """Accuracies that are the same at all lengths."""
    write_scores(frame, z, target, rng)
    names = ("trained_lengths", *(f"length_{n}" for n in (16, 18, 24, 28, 30, 34, 36, 40)))
    frame["measures"] = [dict.fromkeys(names, ACCURACY + v) for v in z]


def write_times(frame: pd.DataFrame, z: np.ndarray, target: float, rng: np.random.Generator) -> None:
    """The latent is the octaves by which a run's times lie above ReLU's."""
    write_scores(frame, np.zeros(len(frame)), target, rng)
    frame["measures"] = [
        {
            f"{of}{name}": 80.0 * 2.0 ** (0 if of else v)
            for name in ("step_us", "unit_ns")
            for of in ("", "relu_")
        }
        for v in z
    ]


@dataclass(frozen=True)
class Model:
    """write: columns from latents; group: the column whose values share a shift; shared: one latent for all the rates of a group
    and replicate; favoured: the sign with which each group enters the claim's prediction (groups left out do not enter);
    reverses: whether an opposite effect is refuted, which a one-sided second condition prevents."""

    favoured: Signs | None = None
    group: str = "arm"
    shared: bool = False
    reverses: bool = True
    write: Callable[[pd.DataFrame, np.ndarray, float, np.random.Generator], None] = write_scores


SEEDED = ("labels shuffled anew", "inputs all zero", "rows mixed by a reshape", "weights never updated")
SEEDED += (
    "wrong sign of updates",
    "all weights equal",
    "dropout .9 for .1",
    "ReLU on the outputs",
    "softmax twice",
)
SEEDED += ("no activations", "gradients never zeroed", "layers not registered")
REMEDIES = {"dropout .2": 1, "dropout .5": 1, "twice as wide": -1, "four times as wide": -1}
_TESTED = {"SGD": 0.2, "momentum": 0.02, "Adam": 0.001}
_RATES = [f"{name}, rate {rate * 4.0**k:.3g}" for name, rate in _TESTED.items() for k in range(-5, 4)]
STALLED = frozenset(_RATES[::2])
SMALL, LARGE = (2, 8, 32), (64, 128, 512)
MODELS: dict[str, Model] = {
    "activation-compute-cost": Model({"sigmoid": 1, "ReLU": -1}, write=write_times),
    "activation-choice-minor": Model({"tanh": 1, "ReLU": -1}),
    "bn-dynamic-structure": Model(
        {"layer norm": 1, "BN for all steps": -1, "BN for each step": -1}, write=write_lengths
    ),
    "dying-relu": Model({"8 x": 1, "tuned rate": -1}, write=write_dead),
    "relu-to-leaky-fallback": Model(
        {"leaky ReLU from the dead net": 1, "ReLU from the dead net": -1}, write=write_deaths
    ),
    "rnn-tanh": Model(
        {
            f"{name}, {start}": s
            for name, s in (("tanh", 1), ("ReLU", -1))
            for start in ("orthogonal", "identity")
        }
    ),
    "elastic-net": Model(
        {f"elastic net {s}": 1 for s in (".0001", ".0003", ".001")}
        | {f"L1 {s}": -1 for s in (".0003", ".001", ".003")},
        write=write_weights,
    ),
    "l1-sparsity": Model(
        {f"L1 {s}": 1 for s in (".001", ".003", ".01")} | {f"L2 {s}": -1 for s in (".01", ".03", ".1")},
        write=write_weights,
    ),
    "l2-first": Model(
        {f"L2 {s}": 1 for s in (".001", ".003", ".01")} | {f"L1 {s}": -1 for s in (".0003", ".001", ".003")}
    ),
    "l2-shrinkage": Model({"no penalty": -3, "L2 .003": -1, "L2 .01": 1, "L2 .03": 3}, write=write_weights),
    "per-layer-regulariser": Model(
        {"no penalty": -1}
        | {f"L2 {s}": 1 for s in (".003", ".01", ".03")}
        | {f"L1 {s}": 1 for s in (".0003", ".001", ".003")},
        write=write_weights,
    ),
    "regularisers-similar": Model(
        {f"L1 {s}": 1 for s in (".0003", ".001", ".003")}
        | {f"{n} updates": -1 for n in ("500", "1,000", "1,500")}
    ),
    "activation-ranking": Model({"ReLU": 1, "leaky ReLU": -1, "maxout": -1, "ELU": -1}),
    "adaptive-better": Model({"adam, tuned": 1, "momentum, tuned": -1}),
    "batch-equal-steps": Model({"batch_size=32": 1, "batch_size=256": -1}),
    "bn-before-activation": Model({"norm before": 1, "norm after": -1}),
    "bn-regulariser": Model({"batch norm": 1, "no norm": -1}, write=write_matched),
    "internal-covariate-shift": Model({"no norm": 1, "batch norm": 1, "BN, drifting noise": -2}),
    "learned-optimiser": Model(
        {"learned": 5, "SGD": -1, **{f"momentum {mu}": -1 for mu in ("0.5", "0.7", "0.8", "0.9")}},
        write=write_descent,
    ),
    "lr-remedies": Model(
        {f"rate too {way}{end}": s for way in ("low", "high") for end, s in ((", remedies", 1), ("", -1))}
    ),
    "bn-accelerates": Model({"batch": 1, "none": -1}, group="norm"),
    "bn-gradient-flow": Model({"sigmoid": 1, "sigmoid with BN": -1}, write=write_flow),
    "bn-mnist": Model({"batch norm": 1, "plain": -1}),
    "bn-population-statistics": Model({"batch 32": 1}, write=write_gain),
    "bn-higher-lr": Model({"batch": 1, "none": -1}, group="norm", shared=True, write=write_limits),
    "bn-lr-ladder": Model({"BN x5": 1, "BN x1": -1}),
    "bn-needs-large-batch": Model(
        {
            f"norm={n} batch_size={b}": s * t
            for n, s in (("batch", 1), ("none", -1))
            for b, t in ((32, 1), (2, -1))
        }
    ),
    "bn-reduce-dropout": Model(
        {
            "n=1024 dropout=0.5": 1,
            "n=1024 dropout=0": -1,
            "n=1024 dropout=0.5 BN": -1,
            "n=1024 dropout=0 BN": 1,
        }
    ),
    "bn-saturating-trainable": Model({"sigmoid with BN": 1, "sigmoid": -1}),
    "dropout-generalises": Model({"n=1024 dropout=0.2": 1, "n=1024 dropout=0.5": 1, "n=1024 dropout=0": -1}),
    "elu-deep-convergence": Model({"ELU": 1, "ReLU": -1}),
    "maxout": Model({"maxout": 1, "ReLU": -1}),
    "momentum": Model({"momentum .9": 1, "no momentum": -1}),
    "relu-faster": Model({"ReLU": 1, "tanh": -1}),
    "small-gaussian-deep": Model({"Glorot, 10 layers": 1, "N(0, .01²), 10 layers": -1}),
    "glorot-vs-uniform-mnist": Model({"Glorot": 1, "uniform ±.05": -1}),
    "he-vs-glorot-relu": Model({"He, 30 layers": 1, "Glorot, 30 layers": -1}),
    "layernorm-small-batch": Model(
        {f"norm={n} batch_size={b}": s for n, s in (("layer", 1), ("batch", -1)) for b in (2, 4)}
    ),
    "batch-bn-larger": Model(
        {"batch_size=32": 1, "batch_size=64": 1, "batch_size=4": -1, "batch_size=8": -1}
    ),
    "lr-decay": Model(
        {"constant": -1}
    ),  # the weakest schedule decides: raising one of the three alone changes nothing
    "noncentred-zigzag": Model({"sigmoid - 1/2": 1, "sigmoid": -1}),
    "tanh-derivative": Model({"tanh, 20 layers": 1, "tanh, 2 layers": -1}, write=write_gradients),
    "sigmoid-vanishing-gradient": Model({"sigmoid, 20 layers": 1}, reverses=False, write=write_gradients),
    "plain-degradation": Model(
        {f"plain {net}, {d} layers": s for net in ("MLP", "CNN") for d, s in ((9, 1), (33, -1))}
    ),
    "residual-repairs": Model(
        {
            f"{kind} {net}, {d} layers": s * t
            for kind, s in (("residual", 1), ("plain", -1))
            for net in ("MLP", "CNN")
            for d, t in ((33, 1), (9, -1))
        }
    ),
    "residual-tie-shallow": Model(
        {
            f"{kind} {net}, 9 layers": s
            for kind, s in (("residual", 1), ("plain", -1))
            for net in ("MLP", "CNN")
        }
    ),
    "spatial-dropout": Model(
        {f"{kind} {rate}": s for kind, s in (("channels", 1), ("units", -1)) for rate in (0.05, 0.15)}
    ),
    "small-batch-best": Model({b: 1 if b in SMALL else -1 for b in SMALL + LARGE}, group="batch_size"),
    "small-batch-lr-range": Model(
        {4: 3, 16: 1, 64: -1, 256: -3}, group="batch_size", shared=True, write=write_ranges
    ),
    "transfer-freeze-finetune": Model(
        {
            f"{n} rows, {way}": s * t
            for n, s in ((25, 1), (500, -1))
            for way, t in (("frozen", 1), ("all layers", -1))
        }
    ),
    "finetune-tenth-lr": Model(
        {".1 x": 1, "1 x": -1, ".3 x": -1, ".03 x": -1}, reverses=False, write=write_regret
    ),
    "autoencoder-pretrain": Model({"100 labels, from the encoder": 1, "100 labels, from scratch": -1}),
    "neuron-subsample-pretrain": Model({"neurons on their own rows": 1, "from scratch": -1}),
    "dynamic-growing": Model({"4 to 64 units": 1, "64 units at once": -1}, write=write_work),
    "pruning-retrain": Model({"smallest removed": 1, "removed by lot": -1, "small net from scratch": -1}),
    "feature-scaling": Model({"standardised": 1, "different scales": -1}),
    "normalisation-sensitivity": Model({"offset inputs": 1, "standardised": -1}, write=write_noise),
    "zero-centre-images": Model({"a mean for each pixel": 1, "standardised": -1}),
    "pca-whitening": Model({"whitened": 1, "standardised": -1}),
    "data-augmentation": Model({"crops, 10 %": 1, "crops, 25 %": 1, "as they are": -1}),
    "optimisation-not-generalisation": Model(
        {"50 % random labels": 1, "0 % random labels": -1}, write=write_gap
    ),
    "shuffle-every-epoch": Model({"new each epoch": 1, "shuffled once": -1}),
    "early-stopping": Model({"early stopping": 1, "to the end": -1}),
    "zero-init-symmetry": Model({"He": 1, "constant .01": -1}),
    "overfit-small-sample": Model(
        {"healthy": 1} | {bug: -1 for bug in SEEDED}, reverses=False, write=write_passes
    ),
    "loss-curve-gap": Model(
        {
            f"{situation}, {remedy}": sign * named
            for situation, named in (("256 rows, width 50", 1), ("4,096 rows, width 8", -1))
            for remedy, sign in REMEDIES.items()
        },
        write=write_curves,
    ),
    # an opposite effect of twice its delta, half a point, is less than 64 replicates could refute
    "lr-search": Model({"rate 0.127": 1, "rate 0.487": -1}, reverses=False, write=write_rates),
    "cross-validation": Model(
        {"ELU, width 100, rate 0.2": 1, "ReLU, width 30, rate 0.05": -1}, write=write_folds
    ),
    "update-monitoring": Model({a: 1 if a in STALLED else -1 for a in _RATES}, write=write_updates),
    "dropout-2n-ensemble": Model({"dropout .5": 1}, write=write_ensemble),
    "dropout-coadaptation": Model({"dropout .2": 1, "no dropout": -1}, write=write_removed),
    "dropout-resample": Model({"new for each row": 1, "one for good": -1}),
    "embedding-dropout": Model({"entries, 0.2": 1, "entries, 0.5": 1, "no dropout": -1}),
    "dropconnect": Model({"DropConnect .2": 1, "DropConnect .5": 1, "dropout .2": -1, "dropout .5": -1}),
    "dropout-bn-disharmony": Model({"before the norms, .5": 1, "after the last, .5": -1}, write=write_shift),
}
