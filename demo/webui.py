"""CLIP-ES in a browser: drop an image, type class names, see maps and mask.

    pip install 'mmwsss[webui]'
    python demo/webui.py

``--config configs/wsss/clip_es_mini.py`` tries it without any download. The page is served to this
machine only, unless ``--host`` says otherwise.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')

if TYPE_CHECKING:
    import gradio
    import numpy as np

    from mmwsss.apis.wsss_inferencer import WSSSInferencer

DEFAULT_CONFIG = Path(__file__).resolve().parents[1] / 'configs/wsss/clip_es_voc.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config', default=str(DEFAULT_CONFIG), help='CLIP-ES config')
    parser.add_argument('--clip', help='CLIP weights: a path, openai or mini')
    parser.add_argument('--host', default='127.0.0.1', help='address to serve at')
    parser.add_argument('--port', type=int, default=7860)
    parser.add_argument('--device', help='default: an accelerator if there is one, else cpu')
    return parser.parse_args()


def split_names(text: str) -> list[str]:
    """Names of a text field: one per line or between commas; ``name=prompt`` has its own line."""
    lines = [line.strip() for line in text.splitlines()]
    names = [[line] if '=' in line else line.split(',') for line in lines]
    return [name.strip() for line in names for name in line if name.strip()]


class Page:
    """What the page does when the button is pressed."""

    def __init__(self, inferencer: WSSSInferencer) -> None:
        self.inferencer = inferencer
        self.background = list(inferencer.cfg.model.text.background_names)
        self.out_dir = Path(tempfile.mkdtemp(prefix='mmwsss_webui_'))

    def segment(
        self, path: str | None, classes: str, background: str, labels: str, threshold: float
    ) -> tuple[np.ndarray, dict[str, float] | None, str]:
        """Picture, class probabilities, and mask file.

        Raises:
            gradio.Error: What the user can put right.
        """
        import gradio as gr

        from mmwsss.apis.class_names import read_class_arguments
        from mmwsss.utils.io import write_mask

        if not path:
            raise gr.Error('Choose an image first.')
        try:
            wanted = read_class_arguments(split_names(classes))
            self.inferencer.set_classes(wanted, split_names(background))
            given = split_names(labels) or None
            results = self.inferencer(path, given, label_threshold=threshold)
        except (OSError, ValueError) as error:
            raise gr.Error(str(error)) from error
        result = results['predictions']
        mask = self.out_dir / f'{result.name}_mask.png'
        write_mask(mask, result.mask, self.inferencer.palette)
        names = self.inferencer.classes[1:]
        if result.scores is None:
            shares = {name: float(name in result.label_names) for name in names}
        else:
            shares = {n: float(s) for n, s in zip(names, result.scores, strict=True)}
        return self.inferencer.draw(result), shares, str(mask)

    def build(self) -> gradio.Blocks:
        """Lay the page out."""
        import gradio as gr

        with gr.Blocks(title='mmwsss: any class you can name') as page:
            gr.Markdown('# Any class you can name\nMaps and mask by CLIP-ES; nothing is trained.')
            with gr.Row():
                with gr.Column(scale=1):
                    image = gr.Image(label='Image', type='filepath', image_mode=None)
                    classes = gr.Textbox(
                        label='Class names',
                        info='One per line or between commas; name=prompt for other words.',
                        lines=2,
                        elem_id='classes',
                    )
                    labels = gr.Textbox(
                        label='Classes in this image',
                        info='Empty: CLIP decides.',
                        elem_id='labels',
                    )
                    with gr.Accordion('More', open=False):
                        background = gr.Textbox(
                            label='What is none of the classes',
                            value=', '.join(self.background),
                            lines=3,
                        )
                        threshold = gr.Slider(0, 0.99, 0.1, label='Probability of a class, above')
                    button = gr.Button('Segment', variant='primary', elem_id='segment')
                with gr.Column(scale=2):
                    picture = gr.Image(show_label=False, format='png', elem_id='picture')
                    found = gr.Label(label='Classes', num_top_classes=10, elem_id='found')
                    mask = gr.File(label='Mask (PNG of class indices)', elem_id='mask')
            button.click(
                self.segment,
                [image, classes, background, labels, threshold],
                [picture, found, mask],
            )
        return page


def main() -> None:
    args = parse_args()
    try:
        import gradio as gr
    except ImportError as error:
        raise SystemExit("error: the page needs Gradio: pip install 'mmwsss[webui]'") from error

    from mmwsss.apis.wsss_inferencer import WSSSInferencer

    try:
        inferencer = WSSSInferencer(args.config, clip=args.clip, device=args.device)
        page = Page(inferencer)
        theme = gr.themes.Default(font=['system-ui', 'sans-serif'], font_mono=['monospace'])
        page.build().launch(
            server_name=args.host,
            server_port=args.port,
            theme=theme,
            allowed_paths=[str(page.out_dir)],
        )
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error


if __name__ == '__main__':
    main()
