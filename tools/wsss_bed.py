"""Compare activation maps x saliency maps x thresholds:

    python tools/wsss_bed.py --dataset mini --out work_dirs/bed \\
        --source CAM=work_dirs/psa_mini_cam/cams --source clip_es=work_dirs/clip_es_mini/cams \\
        --saliency border=work_dirs/saliency/border_colour --saliency none

Every map is read once, whatever the number of thresholds. --out gets results.csv (all pairs of
thresholds), best.csv, confusion.npz, report.md, figures, and index.html, a page that needs nothing
else. All files are looked at before any work. An interrupted run goes on when started again; counts
of other settings or files are refused.
"""

import argparse
from pathlib import Path

from _cli import CfgOptions, add_launch_options, run_or_exit


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = parser.add_argument_group('images')
    data.add_argument(
        '--dataset',
        required=True,
        help='voc12, coco14, mini, or a text file with one foreground class per line',
    )
    data.add_argument(
        '--split', default='train', help='name of a split, or a text file of image ids (train)'
    )
    data.add_argument('--data-root', metavar='DIR', help='where the data set lies')
    data.add_argument('--gt', metavar='DIR', help='true masks (default: those of the split)')
    data.add_argument(
        '--labels',
        metavar='FILE',
        help='image labels: .txt of "<id> c0 c1 ...", .npy of {id: vector}, or our .json; default: '
        'every class that a source has a map of',
    )
    data.add_argument('--limit', type=int, metavar='N', help='only the first N images')
    grid = parser.add_argument_group('what is compared')
    grid.add_argument(
        '--source',
        action='append',
        required=True,
        metavar='NAME=DIR[:WORD,...]',
        help='activation maps; words: store, png, npy, dense, mask (what they are), wo_sal (labels '
        'without saliency), preset=CAM|OAA|... (published settings to judge)',
    )
    grid.add_argument(
        '--saliency',
        action='append',
        metavar='NAME=DIR[:masks]',
        help='saliency maps; masks: they have seen masks of the classes; also NAME=const:VALUE and '
        'none (default)',
    )
    grid.add_argument('--tau', default='0:0.95:0.05', help='thresholds of the maps (0:0.95:0.05)')
    grid.add_argument('--sal-thresh', default='0.2', help='of the saliency; 0 leaves it soft (0.2)')
    grid.add_argument(
        '--preset',
        choices=['official', 'none'],
        default='official',
        help='judge the published settings too, of sources whose name has some (official)',
    )
    grid.add_argument(
        '--ignore',
        choices=['auto', 'on', 'off'],
        default='auto',
        help='salient background becomes 255; auto: as the published settings say (auto)',
    )
    grid.add_argument(
        '--ignore-eval',
        choices=['background', 'exclude', 'miss'],
        default='background',
        help='what 255 counts as (background)',
    )
    grid.add_argument(
        '--no-quantise',
        action='store_true',
        help='compare maps as floats, not rounded to 8 bits as the published ones',
    )
    files = parser.add_argument_group('files')
    files.add_argument('--out', required=True, type=Path, help='folder to write to')
    files.add_argument('--resize', action='store_true', help='resize maps of another size')
    files.add_argument(
        '--skip-incomplete',
        action='store_true',
        help='leave images without all maps out of all cells instead of refusing',
    )
    files.add_argument('--strict', action='store_true', help='whatever is found is an error')
    files.add_argument('--check', action='store_true', help='only look at the files')
    files.add_argument('--workers', type=int, help='processes (default: one for every CPU)')
    files.add_argument('--restart', action='store_true', help='throw counts of other settings away')
    labels = parser.add_argument_group('label maps and networks')
    labels.add_argument(
        '--write-labels',
        metavar='best|preset|tau=T,s=S',
        help='write the label maps of every cell to OUT/labels; best was found on the truth',
    )
    labels.add_argument(
        '--write-split', metavar='SPLIT', help='images that get labels (default: --split)'
    )
    labels.add_argument('--images', metavar='DIR', help='their folder (default: of the split)')
    labels.add_argument(
        '--retrain',
        metavar='CONFIG',
        help='train this config of configs/segmentation on the labels of every cell',
    )
    labels.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='(0 1 2)')
    labels.add_argument('--retrain-crf', metavar='PRESET', help='test with this CRF')
    labels.add_argument(
        '--retrain-options',
        nargs='+',
        action=CfgOptions,
        metavar='KEY=VALUE',
        help='change values of that config',
    )
    add_launch_options(labels)
    return parser.parse_args()


def run(args: argparse.Namespace) -> None:
    from mmwsss.apis import run_bed

    options = vars(args)
    options['quantise'] = not options.pop('no_quantise')
    options['tools'] = Path(__file__).resolve().parent
    for line in run_bed(**options):
        print(line)


def main() -> None:
    args = parse_args()
    run_or_exit(lambda: run(args))


if __name__ == '__main__':
    main()
