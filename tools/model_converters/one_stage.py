"""Convert an official 1-Stage checkpoint, any backbone: ``one_stage.py SRC DST``.

Short for ``convert.py one_stage``.
"""

from convert import main

if __name__ == '__main__':
    main('one_stage')
