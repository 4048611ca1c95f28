"""Convert IRN's ResNet-50 CAM checkpoint (res50_cam.pth): ``irn_resnet50.py SRC DST``.

Short for ``convert.py irn_resnet50``.
"""

from convert import main

if __name__ == '__main__':
    main('irn_resnet50')
