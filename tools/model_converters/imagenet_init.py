"""Convert ImageNet weights of ResNet-38 or VGG-16: ``imagenet_init.py SRC DST``.

Short for ``convert.py imagenet_init``.
"""

from convert import main

if __name__ == '__main__':
    main('imagenet_init')
