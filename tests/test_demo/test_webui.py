"""The page in a real browser. Skipped where Gradio, Selenium or Chromium is missing."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmwsss.datasets.mini_render import render_mini

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


def cow_image() -> tuple[np.ndarray, np.ndarray]:
    """A mini image that shows cows and nothing else, and its mask."""
    for i in range(100):
        image, mask, _ = render_mini('val', i)
        if set(np.unique(mask)) - {255} == {0, 7}:
            return image, mask
    raise AssertionError('no such image')


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
    path = tmp_path / 'broken.png'
    path.write_bytes(b'no picture')
    assert not page.find_elements(By.CSS_SELECTOR, '#picture img')
