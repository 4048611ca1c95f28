"""Convert an official PSA checkpoint (classifier or AffinityNet): ``psa.py SRC DST``.

Short for ``convert.py psa``.
"""

from convert import main

if __name__ == '__main__':
    main('psa')
