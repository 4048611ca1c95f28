"""The inferencer in a browser: drop images, type class names, see maps and masks, take them away.

    pip install 'mmwsss[webui]'
    python demo/webui.py
    python demo/webui.py --config CONFIG --checkpoint CHECKPOINT  # a trained network

``--config configs/wsss/clip_es_mini.py`` tries it without any download. The page is served to this
machine only, unless ``--host`` says otherwise.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')

if TYPE_CHECKING:
    import gradio
    import numpy as np

    from mmwsss.apis.wsss_inferencer import WSSSInferencer

SHOWN = 50  # pictures of many images; all are in the zip file
# a gallery's cells are squares, the pictures several times wider than high
CSS = '#gallery .thumbnail-item {aspect-ratio: auto; height: auto}'
DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / 'configs/wsss/clip_es_voc.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default=str(DEFAULT_CONFIG), help='CLIP-ES, ExCEL, or any')
    parser.add_argument('--checkpoint', help='weights of a trained network')
    parser.add_argument('--clip', help='CLIP weights: a path, openai or mini')
    parser.add_argument('--host', default='127.0.0.1', help='address to serve at')
    parser.add_argument('--port', type=int, default=7860)
    parser.add_argument(
        '--window', type=int, metavar='SIDE', help='look at larger images window by window'
    )
    parser.add_argument('--device', help='default: an accelerator if there is one, else cpu')
    return parser.parse_args()


def split_names(text: str) -> list[str]:
    """Names of a text field: one per line or between commas; ``name=prompt`` has its own line."""
    lines = [line.strip() for line in text.splitlines()]
    names = [[line] if '=' in line else line.split(',') for line in lines]
    return [name.strip() for line in names for name in line if name.strip()]


def mistake(message: str) -> gradio.Error:
    """What the page shows as an error of its user."""
    import gradio as gr

    return gr.Error(message)


class Page:
    """What the page does when a button is pressed, one request after the other.

    All requests share the inferencer, whose classes each of them sets.

    Raises:
        OSError: There is no folder for temporary files that can be written to.
    """

    def __init__(self, inferencer: WSSSInferencer) -> None:
        self.inferencer = inferencer
        self.free = inferencer.network is None
        text = inferencer.cfg.model.text if self.free else None
        self.background = list(text.background_names) if self.free else []
        self.out_dir = Path(tempfile.mkdtemp(prefix='mmwsss_webui_'))
        self._alone = threading.Lock()

    def segment(
        self, path: str | None, classes: str, background: str, labels: str, threshold: float
    ) -> tuple[np.ndarray, dict[str, float] | None, str]:
        """Picture, class probabilities, and mask file.

        Raises:
            gradio.Error: What the user can put right.
        """
        if not path:
            raise mistake('Choose an image first.')
        try:
            with self._alone:
                given = self._choose(classes, background, labels)
                return self._show(path, given, threshold)
        except (OSError, RuntimeError, ValueError) as error:
            raise mistake(str(error)) from error

    def _show(
        self, path: str, labels: list[str] | None, threshold: float
    ) -> tuple[np.ndarray, dict[str, float] | None, str]:
        from mmwsss.utils.io import write_mask

        result = self.inferencer(path, labels, label_threshold=threshold)['predictions']
        mask = self.out_dir / f'{result.name}_mask.png'
        write_mask(mask, result.mask, self.inferencer.palette)
        names = self.inferencer.classes[1:]
        if result.scores is None:
            shares = {name: float(name in result.label_names) for name in names}
        else:
            shares = {n: float(s) for n, s in zip(names, result.scores, strict=True)}
        return self.inferencer.draw(result), shares, str(mask)

    def segment_all(
        self,
        paths: list[str] | None,
        classes: str,
        background: str,
        labels: str,
        threshold: float,
        mask_format: str,
    ) -> tuple[list[tuple[str, str]], str, str]:
        """Pictures with their captions, the zip file, and a word on what could not be read.

        Raises:
            gradio.Error: What the user can put right.
        """
        if not paths:
            raise mistake('Choose images first.')
        try:
            with self._alone:
                given = self._choose(classes, background, labels)
                return self._pack(paths, given, threshold, mask_format)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise mistake(str(error)) from error

    def _segment_chosen(
        self, files: list[str] | None, folder: list[str] | None, *options: Any
    ) -> tuple[list[tuple[str, str]], str, str]:
        return self.segment_all([*(files or ()), *(folder or ())], *options)

    def _pack(
        self, paths: list[str], labels: list[str] | None, threshold: float, mask_format: str
    ) -> tuple[list[tuple[str, str]], str, str]:
        from PIL import Image

        from mmwsss.apis.results import Failure
        from mmwsss.apis.results_zip import open_zip
        from mmwsss.utils.checks import check_unique, some

        check_unique('image name', [Path(path).stem for path in paths])
        folder = Path(tempfile.mkdtemp(dir=self.out_dir))
        given = None if labels is None else [labels] * len(paths)
        pictures, failed, inferencer = [], [], self.inferencer
        archive = folder / 'masks.zip'
        with open_zip(archive, inferencer.classes, inferencer.palette, mask_format) as results:
            for result in inferencer.stream(paths, given, threshold):
                if isinstance(result, Failure):
                    failed.append(Path(result.name).name)
                    continue
                results.add(result)
                if len(pictures) < SHOWN:
                    picture = folder / f'{len(pictures)}.png'
                    Image.fromarray(inferencer.draw(result)).save(picture)
                    found = ', '.join(result.label_names) or 'no class'
                    pictures.append((str(picture), f'{result.name}: {found}'))
        done = len(paths) - len(failed)
        if not done:
            raise ValueError(f'Not one of {len(paths)} images can be read: {some(failed)}')
        said = f'{done} images are in the zip file'
        said += f', the first {SHOWN} are shown. ' if done > SHOWN else '. '
        said += f'{len(failed)} cannot be read: {some(failed, 20)}' if failed else ''
        return pictures, str(archive), said

    def _choose(self, classes: str, background: str, labels: str) -> list[str] | None:
        """Set the classes; the image labels."""
        from mmwsss.apis.class_names import read_class_arguments

        if self.free:
            wanted = read_class_arguments(split_names(classes))
            self.inferencer.set_classes(wanted, split_names(background))
        return split_names(labels) or None

    def build(self) -> gradio.Blocks:
        """Lay the page out."""
        import gradio as gr

        from mmwsss.apis.results_zip import FORMATS

        names = ', '.join(self.inferencer.classes[1:])
        title = '# Any class you can name' if self.free else f'# Masks of {names}'
        with gr.Blocks(title='mmwsss') as page:
            gr.Markdown(title)
            with gr.Row():
                with gr.Column(scale=1):
                    options = self._build_options()
                with gr.Column(scale=2), gr.Tabs():
                    with gr.Tab('One image', id='one'):
                        image = gr.Image(label='Image', type='filepath', image_mode=None)
                        button = gr.Button('Segment', variant='primary', elem_id='segment')
                        picture = gr.Image(show_label=False, format='png', elem_id='picture')
                        found = gr.Label(label='Classes', num_top_classes=10, elem_id='found')
                        mask = gr.File(label='Mask (PNG of class indices)', elem_id='mask')
                    with gr.Tab('Several', id='several'):
                        files = gr.File(label='Images', file_count='multiple', elem_id='files')
                        folder = gr.File(
                            label='Or a folder', file_count='directory', elem_id='folder'
                        )
                        kind = gr.Radio(list(FORMATS), value='png', label='Masks as')
                        pack = gr.Button('Segment all', variant='primary', elem_id='all')
                        said = gr.Textbox(label='Done', interactive=False, elem_id='said')
                        archive = gr.File(label='Masks and overlays (zip)', elem_id='zip')
                        gallery = gr.Gallery(
                            label='Maps and masks',
                            columns=1,
                            object_fit='contain',
                            elem_id='gallery',
                        )
            button.click(self.segment, [image, *options], [picture, found, mask])
            chosen = [files, folder, *options, kind]
            pack.click(self._segment_chosen, chosen, [gallery, archive, said])
        return page

    def _build_options(self) -> list[gradio.components.Component]:
        """Fields for classes, background, labels and threshold."""
        import gradio as gr

        classes = gr.Textbox(
            label='Class names',
            info='One per line or between commas; name=prompt for other words.',
            lines=2,
            elem_id='classes',
            visible=self.free,
        )
        labels = gr.Textbox(
            label='Classes in the images',
            info='Empty: CLIP decides.' if self.free else 'May be empty.',
            elem_id='labels',
        )
        with gr.Accordion('More', open=False, visible=self.free):
            background = gr.Textbox(
                label='What is none of the classes', value=', '.join(self.background), lines=3
            )
            threshold = gr.Slider(0, 0.99, 0.1, label='Probability of a class, above')
        return [classes, background, labels, threshold]


def main() -> None:
    args = parse_args()
    try:
        import gradio as gr
    except ImportError as error:
        raise SystemExit("error: the page needs Gradio: pip install 'mmwsss[webui]'") from error

    from mmwsss.apis.wsss_inferencer import WSSSInferencer

    try:
        inferencer = WSSSInferencer(
            args.config,
            clip=args.clip,
            device=args.device,
            weights=args.checkpoint,
            window=args.window,
        )
        page = Page(inferencer)
        theme = gr.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['monospace'])
        page.build().launch(
            server_name=args.host,
            server_port=args.port,
            theme=theme,
            css=CSS,
            allowed_paths=[str(page.out_dir)],
        )
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
