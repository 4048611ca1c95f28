from .panel import draw_panel

__all__ = ['draw_panel']
