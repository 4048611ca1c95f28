"""The page in a real browser. Skipped where Gradio, Selenium or Chromium is missing."""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmwsss.utils.io import read_mask

from .scenes import cow_image

pytest.importorskip('gradio')
webdriver = pytest.importorskip('selenium.webdriver')
CHROMIUM, DRIVER = shutil.which('chromium'), shutil.which('chromedriver')
if not (CHROMIUM and DRIVER):
    pytest.skip('chromium or chromedriver is missing', allow_module_level=True)

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/wsss/clip_es_mini.py'
CLASSES = 'cow\ntree, fish\nbird=bird'


@pytest.fixture(scope='module')
def address(tmp_path_factory):
    """A running page."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp('webui') / 'log.txt'
    command = [sys.executable, str(ROOT / 'demo/webui.py'), '--config', str(CONFIG)]
    with open(log, 'w') as file:
        server = subprocess.Popen(
            [*command, '--port', str(port), '--device', 'cpu'],
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'no_proxy': '*'},
        )
    url = f'http://127.0.0.1:{port}/'
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(url, timeout=5).read()
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp('profile')
    for flag in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'):
        options.add_argument(flag)
    options.add_argument(f'--user-data-dir={profile}')
    options.add_argument('--window-size=1400,1000')
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, address):
    browser.get(address)
    WebDriverWait(browser, 60).until(lambda b: b.find_elements(By.ID, 'segment'))
    return browser


def fill(page, name: str, text: str) -> None:
    field = page.find_element(By.CSS_SELECTOR, f'#{name} textarea, #{name} input')
    field.clear()
    field.send_keys(text)


def upload(page, path: Path) -> None:
    page.find_element(By.CSS_SELECTOR, 'input[type=file]').send_keys(str(path))
    WebDriverWait(page, 30).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, 'button[aria-label="Clear"], .image-frame img')
    )


def press(page) -> None:
    page.find_element(By.ID, 'segment').click()


def result(page) -> tuple[np.ndarray, np.ndarray, str]:
    """The picture and the mask that the page shows, and its list of classes."""
    wait = WebDriverWait(page, 90)
    picture = wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, '#picture img'))[0]
    link = wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, '#mask a[href]'))[0]
    found = wait.until(lambda b: b.find_element(By.ID, 'found').text)
    arrays = []
    for url in (picture.get_attribute('src'), link.get_attribute('href')):
        with urllib.request.urlopen(url) as answer:
            arrays.append(np.asarray(Image.open(answer)))
    return arrays[0], arrays[1], found


def test_an_image_and_names_give_maps_and_a_mask(page, tmp_path):
    image, truth = cow_image()
    Image.fromarray(image).save(tmp_path / 'field.png')
    upload(page, tmp_path / 'field.png')
    fill(page, 'classes', CLASSES)
    press(page)
    picture, mask, found = result(page)
    assert mask.shape == truth.shape
    assert set(np.unique(mask)) <= {0, 1}
    valid = truth != 255
    inter = ((mask == 1) & (truth == 7))[valid].sum()
    union = ((mask == 1) | (truth == 7))[valid].sum()
    assert inter / union > 0.3
    assert picture.shape[1] > 2 * picture.shape[0]  # image, map and mask side by side
    assert re.search(r'cow\s+\d+%', found)


def test_given_labels_are_used(page, tmp_path):
    image, _ = cow_image()
    Image.fromarray(image).save(tmp_path / 'field.png')
    upload(page, tmp_path / 'field.png')
    fill(page, 'classes', CLASSES)
    fill(page, 'labels', 'tree')
    press(page)
    assert set(np.unique(result(page)[1])) <= {0, 2}


def test_mistakes_are_told(page, tmp_path):
    press(page)
    wait = WebDriverWait(page, 30)
    wait.until(lambda b: 'Choose an image first' in b.find_element(By.TAG_NAME, 'body').text)
    Image.fromarray(cow_image()[0]).save(tmp_path / 'field.png')
    upload(page, tmp_path / 'field.png')
    for names, message in (('', 'at least one class name'), ('cow, cow', 'more than once: cow')):
        fill(page, 'classes', names)
        press(page)
        wait.until(lambda b, m=message: m in b.find_element(By.TAG_NAME, 'body').text)
    assert not page.find_elements(By.CSS_SELECTOR, '#picture img')


def test_several_images_can_be_taken_away(page, tmp_path):
    image, truth = cow_image()
    paths = [tmp_path / name for name in ('a.png', 'b.png', 'broken.png')]
    for path in paths[:2]:
        Image.fromarray(image).save(path)
    paths[2].write_bytes(b'no picture')
    fill(page, 'classes', CLASSES)
    page.find_element(By.XPATH, '//button[@role="tab"][contains(., "Several")]').click()
    wait = WebDriverWait(page, 120)
    field = wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, '#files input[type=file]'))[0]
    field.send_keys('\n'.join(map(str, paths)))
    wait.until(lambda b: 'broken' in b.find_element(By.ID, 'files').text)
    page.find_element(By.ID, 'all').click()
    wait.until(lambda b: said(b))
    assert said(page) == '2 images are in the zip file. 1 cannot be read: broken.png'
    link = wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, '#zip a[href]'))[0]
    with urllib.request.urlopen(link.get_attribute('href')) as answer:
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))
    assert sorted(archive.namelist()) == [
        'classes.txt', 'masks/a.png', 'masks/b.png', 'overlays/a.jpg', 'overlays/b.jpg',
    ]  # fmt: skip
    assert read_mask(archive.read('masks/a.png')).shape == truth.shape
    pictures = wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, '#gallery img'))
    assert pictures


def test_a_folder_is_taken_as_it_is(page, tmp_path):
    image, _ = cow_image()
    (tmp_path / 'pictures').mkdir()
    Image.fromarray(image).save(tmp_path / 'pictures/c.png')
    (tmp_path / 'pictures/notes.txt').write_text('no picture')
    fill(page, 'classes', CLASSES)
    page.find_element(By.XPATH, '//button[@role="tab"][contains(., "Several")]').click()
    wait = WebDriverWait(page, 120)
    field = wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, '#folder input[type=file]'))[0]
    field.send_keys(str(tmp_path / 'pictures'))
    wait.until(lambda b: 'notes' in b.find_element(By.ID, 'folder').text)
    page.find_element(By.ID, 'all').click()
    wait.until(lambda b: said(b))
    assert said(page) == '1 images are in the zip file. 1 cannot be read: notes.txt'


def said(page) -> str:
    return page.find_element(By.CSS_SELECTOR, '#said textarea').get_attribute('value')
