"""The former place of :mod:`mmwsss.stores.cam_store`, for scripts that still name it."""

from ..stores.cam_store import StoredCAM, load_cam, save_cam

__all__ = ['StoredCAM', 'load_cam', 'save_cam']
