"""Masks sorted by doubt: what is measured, the page, the table, and bad input."""

import csv
import html
import importlib.util
import os
import re
import sys
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from mmwsss.apis.review import review_masks
from mmwsss.stores.cam_store import save_cam
from mmwsss.utils.io import write_mask

ROOT = Path(__file__).parents[2]
CLASSES = ['background', 'cat', 'dog']
PALETTE = [[0, 0, 0], [200, 30, 30], [30, 30, 200]]
H, W = 8, 10


def mask_of(unsure: int = 0, value: int = 1) -> np.ndarray:
    """A mask with a foreground of 20 pixels and so many unsure ones."""
    mask = np.zeros((H, W), np.uint8)
    mask[:2] = value
    mask.reshape(-1)[H * W - unsure :] = 255
    return mask


def add(name: str, mask: np.ndarray, cam: float = 1.0, scores: list | None = None) -> None:
    """An image with its mask, and a map that is ``cam`` at the foreground."""
    Path('images').mkdir(exist_ok=True)
    Image.new('RGB', (mask.shape[1], mask.shape[0]), (90, 120, 60)).save(f'images/{name}.png')
    write_mask(f'masks/{name}.png', mask, PALETTE)
    write_mask(f'other/{name}.png', mask, PALETTE)
    maps = np.where(mask == 1, cam, 0).astype(np.float32)[None]
    scores = None if scores is None else np.array(scores)
    save_cam(f'cams/{name}.npz', np.array([0]), maps, mask.shape, scores)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, unsure in (('a', 0), ('b', 24), ('c', 8)):
        add(name, mask_of(unsure))
    return tmp_path


def table(path: str = 'sheet.csv') -> list[dict]:
    with open(path, encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def cards(page: str) -> list[str]:
    """Names on the cards, in their order."""
    return [html.unescape(n) for n in re.findall(r'<article.*?<bdi>(.*?)</bdi>', page, re.DOTALL)]


def test_the_most_unsure_come_first(folder):
    review = review_masks('masks', 'images', 'sheet.html', classes=CLASSES, processes=1)
    assert review.doubts == {'b': 1.0, 'c': 0.5, 'a': 0.0}
    assert review.failed == {}
    rows = table()
    assert [row['image'] for row in rows] == ['b', 'c', 'a']
    assert [float(row['unsure']) for row in rows] == pytest.approx([24 / 44, 8 / 28, 0])
    assert rows[0]['mask'] == 'unsure (255) 30.0 %, cat 25.0 %'
    page = Path('sheet.html').read_text(encoding='utf-8')
    assert cards(page) == ['b', 'c', 'a']
    assert 'margin' not in rows[0]
    for name in ('background', 'cat', 'unsure (255)'):
        assert f'</i>{name}</span>' in page
    assert 'dog' not in page  # in no mask
    assert '#c81e1e' in page  # the mask's own colour


def test_every_measure(folder):
    add('d', mask_of(), cam=0.75, scores=[0.4])
    write_mask('other/d.png', mask_of(value=2), PALETTE)
    review_masks('masks', 'images', 'sheet.html', 'cams', 'other', classes=CLASSES, processes=1)
    rows = {row['image']: row for row in table()}
    assert next(iter(rows)) == 'd'
    assert float(rows['d']['disagreement']) == 1
    assert float(rows['d']['label']) == pytest.approx(0.6)
    assert float(rows['d']['margin']) == pytest.approx(0.5)  # background 0.25 and map 0.75
    assert [rows['a'][key] for key in ('margin', 'label', 'disagreement')] == ['0', '', '0']
    # places among a, b, c, d by unsure (shared with a), margin and disagreement; label is d's alone
    assert float(rows['d']['doubt']) == pytest.approx((1 / 6 + 1 + 1) / 3)


def pictures(page: str) -> list[np.ndarray]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [np.asarray(Image.open(BytesIO(b64decode(text)))) for text in found]


def test_only_the_worst_have_pictures(folder):
    review_masks('masks', 'images', 'sheet.html', other='other', top=1, processes=1)
    page = Path('sheet.html').read_text(encoding='utf-8')
    assert cards(page) == ['b']
    shown = pictures(page)
    assert [picture.shape for picture in shown] == [(H, W, 3)] * 3
    assert np.abs(shown[0].astype(int) - (90, 120, 60)).max() < 8
    assert shown[1][0, 0, 0] > shown[1][4, 4, 0] + 60  # red where the mask is 1
    rest = page[page.index('<table>') :]
    assert re.findall(r'<bdi>(\w)</bdi>', rest) == ['c', 'a']
    assert 'the 1 most doubtful of 3 masks' in page
    none = review_masks('masks', 'images', 'none.html', top=0, processes=1)
    assert pictures(none.sheet.read_text()) == []


def test_large_pictures_are_shrunk(folder):
    add('e', np.full((400, 720), 255, np.uint8))
    review_masks('masks', 'images', 'sheet.html', ids=['e'], processes=1)
    page = Path('sheet.html').read_text(encoding='utf-8')
    assert [picture.shape for picture in pictures(page)] == [(200, 360, 3)] * 2


def test_names_are_escaped_and_links_lead_to_the_masks(folder):
    name = '<script>alert("1")<!-- & \'x\' #1?%41'
    add(name, mask_of(40))
    review_masks(
        'masks', 'images', 'out/sheet.html', classes=['<b>', '<i>', '"'], processes=1, notes=['<u>']
    )
    page = Path('out/sheet.html').read_text(encoding='utf-8')
    assert not re.search('<script|<b>c|<i>|<u>', page.replace('<b>1', ''))
    assert cards(page)[0] == name
    assert 'http' not in page
    for link in re.findall(r'<a href="([^"]*)"', page):
        assert os.path.isfile(os.path.join('out', unquote(html.unescape(link))))
    assert table('out/sheet.csv')[0]['image'] == name


def test_names_that_are_no_text(folder):
    os.rename('masks/b.png', b'masks/caf\xe9.png')
    os.rename('images/b.png', b'images/caf\xe9.png')
    review_masks('masks', 'images', 'sheet.html', processes=1)
    page = Path('sheet.html').read_text(encoding='utf-8')
    assert cards(page)[0] == r'caf\udce9'
    assert 'href="masks/caf%E9.png"' in page
    assert table()[0]['image'] == r'caf\udce9'


def test_several_processes_find_the_same(folder):
    for i in range(40):
        add(f'x{i}', mask_of(i))
    one = review_masks('masks', 'images', 'one.html', 'cams', processes=1)
    two = review_masks('masks', 'images', 'two.html', 'cams', processes=2)
    assert one.doubts == two.doubts
    assert Path('one.csv').read_bytes() == Path('two.csv').read_bytes()


def test_what_cannot_be_read_is_counted_and_named(folder):
    add('size', mask_of())
    Image.new('RGB', (W, H + 1)).save('images/size.png')
    add('value', mask_of(value=3))
    add('cut', mask_of())
    Path('masks/cut.png').write_bytes(Path('masks/cut.png').read_bytes()[:50])
    add('maps', mask_of())
    Path('cams/maps.npz').write_bytes(b'PK')
    review = review_masks('masks', 'images', 'sheet.html', 'cams', classes=CLASSES, processes=1)
    assert sorted(review.doubts) == ['a', 'b', 'c']
    assert sorted(review.failed) == ['cut', 'maps', 'size', 'value']
    assert 'masks/size.png is 8 x 10 (height x width), its image 9 x 10' in review.failed['size']
    page = Path('sheet.html').read_text(encoding='utf-8')
    assert '4 images could not be looked at' in page
    assert 'masks/value.png holds the values [3]' in page
    assert [row['image'] for row in table() if row['problem']] == ['cut', 'maps', 'size', 'value']


def test_a_picture_that_breaks_off_is_told_on_its_card(folder):
    picture = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
    Image.fromarray(picture).save('images/b.jpg')
    data = Path('images/b.jpg').read_bytes()
    Path('images/b.jpg').write_bytes(data[:-40])
    Path('images/b.png').unlink()
    review_masks('masks', 'images', 'sheet.html', processes=1)
    page = Path('sheet.html').read_text(encoding='utf-8')
    assert cards(page) == ['b', 'c', 'a']
    assert 'image images/b.jpg cannot be read, it is broken' in page
    assert 'images/b.jpg cannot be read' in table()[0]['problem']


def test_nothing_to_look_at(folder):
    for path in Path('masks').iterdir():
        path.write_bytes(b'no mask')
    with pytest.raises(RuntimeError, match=r'not one of 3 masks can be reviewed: masks/a\.png'):
        review_masks('masks', 'images', 'sheet.html', processes=1)
    assert not Path('sheet.html').exists()


@pytest.mark.parametrize(
    ('options', 'error', 'message'),
    [
        (dict(masks='none'), FileNotFoundError, 'the folder none does not exist'),
        (dict(masks='images', images='cams'), FileNotFoundError, 'cams has no image for 3 of 3'),
        (dict(images='none'), FileNotFoundError, 'image folder none does not exist'),
        (dict(cams='other'), FileNotFoundError, 'other holds no .npz file'),
        (dict(other='few'), FileNotFoundError, 'few has no .png file for 2 of 3 ids: b, c'),
        (dict(ids=['a', 'z']), FileNotFoundError, 'masks has no .png file for 1 of 2 ids: z'),
        (dict(out='sheet.txt'), ValueError, 'suffix of the review sheet must be one of .html'),
        (dict(out='foreign.html'), ValueError, r'foreign\.csv, where the table would be written'),
        (dict(out='taken.html'), OSError, r'taken\.html: it is a folder'),
        (dict(out='masks/a.png/sheet.html'), OSError, 'Cannot write into'),
        (dict(top=-1), ValueError, 'top must be a whole number'),
        (dict(processes=0), ValueError, 'processes must be'),
    ],
)
def test_bad_input(folder, options, error, message):
    Path('few').mkdir()
    write_mask('few/a.png', mask_of())
    Path('foreign.csv').write_text('name,price\n')
    Path('taken.html').mkdir()
    given = dict(masks='masks', images='images', out='sheet.html', processes=1)
    with pytest.raises(error, match=message):
        review_masks(**{**given, **options})
    assert not Path('sheet.html').exists()


@pytest.fixture
def tool(folder, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    spec = importlib.util.spec_from_file_location('review', ROOT / 'tools/review_sheet.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(line: str) -> None:
        monkeypatch.setattr(sys, 'argv', ['review_sheet.py', *line.split()])
        module.main()

    return run


def test_tool(tool, capsys):
    Path('classes.txt').write_text('cat\ndog\n')
    Path('ids.txt').write_text('a\nb\n')
    line = 'masks images --cams cams --other other --top 1 --classes classes.txt --split ids.txt'
    tool(f'{line} --out x/r.html --processes 1')
    assert '2 masks: x/r.html, x/r.csv' in capsys.readouterr().out
    assert cards(Path('x/r.html').read_text()) == ['b']


def test_tool_ends_with_1_if_something_could_not_be_read(tool, capsys):
    Path('masks/a.png').write_bytes(b'no mask')
    with pytest.raises(SystemExit) as done:
        tool('masks images --processes 1')
    assert done.value.code == 1
    out = capsys.readouterr()
    assert '2 masks: review.html' in out.out
    assert 'failed: a: masks/a.png cannot be read' in out.err
    with pytest.raises(SystemExit, match='error: the folder none does not exist'):
        tool('none images')
