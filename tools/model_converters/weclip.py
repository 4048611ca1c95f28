"""Convert an official WeCLIP checkpoint: ``weclip.py SRC DST [--clip FILE]``.

Short for ``convert.py weclip``.
"""

from convert import main

if __name__ == '__main__':
    main('weclip')
