"""Fashion-MNIST: 28x28 pictures of clothes, 60,000 and 10,000 (Xiao et al. 2017, arXiv:1708.07747)."""

from __future__ import annotations

from folklore.datasets._fetch import DebianPackage, Folder, Upstream
from folklore.datasets._idx import idx_files, read_idx
from folklore.datasets.base import Dataset

_DEBIAN_FOLDER = "usr/share/datasets/fashion-mnist"

DATASET = Dataset(
    name="fashion_mnist",
    classes=10,
    inputs=784,
    validation=2_000,
    licence="MIT, Zalando SE",
    read=read_idx,
    files=idx_files(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    sources=(
        Folder(f"/{_DEBIAN_FOLDER}"),
        Upstream("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
        DebianPackage("dataset-fashion-mnist", inside=_DEBIAN_FOLDER),
    ),
)
