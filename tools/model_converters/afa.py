"""Convert an official AFA checkpoint or ImageNet weights of MiT: ``afa.py SRC DST``.

Short for ``convert.py afa``.
"""

from convert import main

if __name__ == '__main__':
    main('afa')
