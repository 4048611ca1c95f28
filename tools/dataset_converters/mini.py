"""Render the embedded mini data set (configs that use it do so themselves at first use).

python tools/dataset_converters/mini.py data/mini
"""

import argparse
from pathlib import Path

from mmwsss.datasets.mini_render import SPLITS, write_mini


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, nargs='?', default=Path('data/mini'))
    root = write_mini(parser.parse_args().root)
    print(f'{root}: ' + ', '.join(f'{count} {split}' for split, count in SPLITS.items()))


if __name__ == '__main__':
    main()
