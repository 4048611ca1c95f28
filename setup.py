"""Packaging of mmwsss. Metadata, and the ``.mim`` folder in which mim finds configs and tools."""

import os
import runpy
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_CONTENT = ('configs', 'tools', 'demo', 'model-index.yml')

# OneDL and OpenMMLab install the same import packages (mmengine, mmcv, mmseg), so neither may be
# a hard requirement: they are extras, and requirements.txt names the default.
REQUIRES = [
    'ftfy',
    'numpy>=1.26',
    'open_clip_torch>=3.0',
    'pillow>=10.0',
    'prettytable',
    'regex',
    'safetensors>=0.4',
    'scipy>=1.11',
    'torch>=2.6',
    'torchvision>=0.21',
]
EXTRAS = {
    'onedl': ['onedl-mmengine>=0.10.12', 'onedl-mmcv>=2.3.6', 'onedl-mmsegmentation>=1.4.2'],
    'openmmlab': ['mmengine>=0.10.7', 'mmcv>=2.0.0', 'mmsegmentation>=1.2.2'],
    'coco': ['pycocotools>=2.0.7'],
    'crf': ['numba>=0.59', 'pydensecrf2>=1.1'],
    'tests': ['build>=1.0', 'pytest>=8.0', 'ruff>=0.9'],
    'docs': ['mkdocs>=1.6'],
}


class BuildPy(build_py):
    """Put configs, tools and the model index into ``mmwsss/.mim``: copies, or links if editable."""

    def run(self) -> None:
        super().run()
        package = ROOT / 'mmwsss' if self.editable_mode else Path(self.build_lib) / 'mmwsss'
        mim = package / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in MIM_CONTENT:
            source, target = ROOT / name, mim / name
            if self.editable_mode:
                target.symlink_to(os.path.relpath(source, mim))
            elif source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy2(source, target)


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
    cmdclass={'build_py': BuildPy},
    zip_safe=False,
)
