"""Convert a DeepLab checkpoint of the WSSS retraining codes: ``deeplab.py SRC DST``.

Short for ``convert.py deeplab``.
"""

from convert import main

if __name__ == '__main__':
    main('deeplab')
