"""Packaging; tool configuration lives in pyproject.toml, exact versions in constraints.txt."""

from setuptools import find_packages, setup

CORE = [
    "hydra-core>=1.3.8,<1.4",
    "omegaconf>=2.3.1,<2.4",
    "pyyaml>=6.0.3,<7",
    "numpy>=2.3,<2.4",
    "rich>=15,<16",
    "webdataset>=1.0.2,<1.1",
]
EXTRAS = {
    "video": ["av>=18.1,<19", "simplejpeg>=1.9,<2", "pillow>=13,<14"],
    # torch is pinned exactly: torchvision 0.28.0 asks for it, and only the exact pin finds a CPU build where offered
    "vision": [
        "torch==2.13.0",
        "torchvision==0.28.0",
        "open_clip_torch>=3.3,<3.4",
        "timm>=1.0.31,<1.1",
        "safetensors>=0.8,<0.9",
    ],
    "llm": [
        "tokenizers>=0.23,<0.24",
        "jsonschema>=4.26,<5",
        "openai>=3.51,<4",
        "huggingface_hub>=2.4,<3",
    ],
    "slurm": ["submitit>=1.5.4,<1.6"],
    "dev": [
        "transformers>=5.19,<5.20",
        "pytest>=9.2,<10",
        "pytest-xdist>=3.8,<4",
        "hypothesis>=6.170,<7",
        "markdown-it-py>=4.3,<5",
        "ruff==0.17.5",
        "mypy==2.4.1",
    ],
}

setup(
    name="mmassist",
    version="0.1.0",
    description="Egocentric video to training samples for streaming video assistants, on SLURM",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["mmassist*", "launchers*", "tools*", "slurm*"]),
    install_requires=CORE,
    extras_require={**EXTRAS, "all": sorted({r for group in EXTRAS.values() for r in group})},
)
