"""What pip needs to know. Exact versions that work together stand in constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
HOOK = "src/metalang-slot-ranges.pth"


class BuildWithHook(build_py):
    """Adds the start-up hook beside the package: Python reads .pth files in the root of site-packages only."""

    def run(self):
        super().run()
        wheel_root = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        self.copy_file(HOOK, wheel_root)

    def get_source_files(self):
        return [*super().get_source_files(), HOOK]


setup(
    name="metalang",
    version=re.search(r'__version__ = "(.+)"', (ROOT / "src/metalang/__init__.py").read_text(encoding="utf-8"))[1],
    description="Pretraining on artificial languages, mixed with natural language",
    license="Apache-2.0",
    python_requires=">=3.10",
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={"metalang.comparison": ["page.html"]},
    cmdclass={"build_py": BuildWithHook},
    install_requires=[
        "accelerate>=1.10",
        "datasets>=4.0",
        "datatrove>=0.10",
        "deepspeed>=0.18",
        "gigatoken>=0.10",
        "hjson>=3.1",
        "huggingface_hub>=1.0",
        "jinja2>=3.1",
        "loguru>=0.7",
        "matplotlib>=3.9",
        "numba>=0.61",
        "numpy>=2.0",
        "orjson>=3.10",
        "protobuf>=5.0",
        "psutil>=6.0",
        "py3langid>=0.4",
        "pyarrow>=18.0",
        "pydantic>=2.10",
        "pyyaml>=6.0",
        "regex>=2024.11",
        "requests>=2.32",
        "sentencepiece>=0.2",
        "spacy>=3.8",
        "tokenizers>=0.22",
        "torch>=2.8",
        "tqdm>=4.66",
        "transformers>=5.20",
        "wandb>=0.20",
        "xxhash>=3.5",
        "zstandard>=0.23",
    ],
    extras_require={
        "tracking": ["tensorboard>=2.20", "trackio>=0.43"],
        "dev": [
            "fasttext-numpy2-wheel>=0.9.2",
            "hypothesis>=6.100",
            "jsonschema>=4.20",
            "pytest>=8.0",
            "pytest-xdist>=3.6",
            "ruff>=0.12",
            "tensorboard>=2.20",
            "trackio>=0.43",
            "trl>=1.14",
        ],
    },
)
